"""The built-in rewards, as data: name → where its class lives."""

BUILTIN = {
    "artifact_guard": "reward_zoo.rewards.artifacts:ArtifactGuard",
    "brightness": "reward_zoo.rewards.color:Brightness",
    "color_entropy": "reward_zoo.rewards.color:ColorEntropy",
    "color_target": "reward_zoo.rewards.color:ColorTarget",
    "colorfulness": "reward_zoo.rewards.color:Colorfulness",
    "contrast": "reward_zoo.rewards.color:Contrast",
    "edge_density": "reward_zoo.rewards.structure:EdgeDensity",
    "jpeg_compressibility": "reward_zoo.rewards.compressibility:JpegCompressibility",
    "jpeg_incompressibility": "reward_zoo.rewards.compressibility:JpegIncompressibility",
    "ocr": "reward_zoo.rewards.ocr:Ocr",
    "png_compressibility": "reward_zoo.rewards.compressibility:PngCompressibility",
    "saturation": "reward_zoo.rewards.color:Saturation",
    "sharpness": "reward_zoo.rewards.structure:Sharpness",
    "smoothness": "reward_zoo.rewards.structure:Smoothness",
    "symmetry": "reward_zoo.rewards.structure:Symmetry",
}
