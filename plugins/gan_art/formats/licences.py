"""What is known of the licences of other programs' networks. A file itself says nothing of its licence."""

from __future__ import annotations

UNKNOWN = "unknown"
NVIDIA = (
    "unknown; weights that NVIDIA published, and models that were trained on from them, are under the Nvidia Source "
    "Code License-NC, for research and evaluation alone"
)
PROJECTED = f"{NVIDIA}; the programs StyleGAN-XL and Projected GAN are under the MIT licence"
FACEBOOK = "unknown; the program is under the BSD-3 licence, and says nothing of its weights"
FASTGAN = "unknown; the program is under GPL-3.0, and says nothing of its weights"
BIGGAN = (
    "unknown; DeepMind's weights are under Apache-2.0, and the program that converted them is under the MIT licence"
)
MIT_PROGRAM = "unknown; the program is under the MIT licence, and says nothing of its weights"
