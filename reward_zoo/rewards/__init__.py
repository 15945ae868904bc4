"""The built-in rewards, as data: name → where its class lives."""

BUILTIN = {
    "brightness": "reward_zoo.rewards.color:Brightness",
    "jpeg_compressibility": "reward_zoo.rewards.compressibility:JpegCompressibility",
    "jpeg_incompressibility": "reward_zoo.rewards.compressibility:JpegIncompressibility",
    "ocr": "reward_zoo.rewards.ocr:Ocr",
    "symmetry": "reward_zoo.rewards.structure:Symmetry",
}
