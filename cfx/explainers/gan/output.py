"""What every generator of this folder returns, whatever its architecture.

`CounterfactualGAN` trains the default generator and the published one by the same steps, so both answer
`generator(image, posterior, target)` with a `GeneratorOutput`. Named tuples, because Lightning's DDP wrapper
walks through tuples to find the tensors that need gradients and does not look into dataclasses of unknown
type.
"""

from typing import NamedTuple

from torch import Tensor


class Edit(NamedTuple):
    """An edit on top of the input, small enough to be carried over to another resolution.

    field: float (B, 2, g, g), displacement (x, y) in fractions of the image width on a g x g control grid.
    residual: float (B, 1, g, g), grey values added after the deformation, in units of the [-1, 1] image.
    """

    field: Tensor
    residual: Tensor


class GeneratorOutput(NamedTuple):
    """One call of a generator.

    image: float (B, 1, H, W) in [-1, 1], the picture drawn.
    embedding: float (B, C, h, w) or (B, C), what the encoder made of this call's image under this call's
    target. The
        self-reconstruction (image x, target f(x)) thus holds E(x | c_source), and the cycle (image x_c,
        target f(x)) holds E(x_c | c_source): the two sides of the embedding term, at no extra cost. None
        where the generator has no bottleneck to compare.
    edit: the deformation and residual the picture was made with; None where the picture is synthesised anew.
    """

    image: Tensor
    embedding: Tensor | None = None
    edit: Edit | None = None
