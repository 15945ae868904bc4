"""What a plugin with a missing dependency looks like."""

import a_package_that_is_not_there  # noqa: F401
