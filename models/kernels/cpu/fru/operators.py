"""The Fourier recurrence as torch operators with gradients: the summaries at the end, or the output at every step.

torch.compile, torch.export and autograd see two operators and nothing inside them. Each returns its result and what its
backward pass needs: φ and a few states (see chunks.py).

Shapes: B batch, T time, D input, k frequencies, S statistics, R recurrent features, Z = D + R, H output, P ≥ B whole
blocks of the kernel, c steps of a chunk, n of a part of it. Gains are (1/T) cos(2π f t/T + 2π θ_f); keep is 0 where a
frequency shows the present step only, else 1.
"""

from typing import Any

import torch
from torch import Tensor

from models.kernels.cpu.fru.chunks import Recurrence, saved_tensors

READ_OUT = 32
"""Steps whose outputs are computed at once."""

in_float32 = torch.autocast("cpu", enabled=False)
"""Autocast must not make an operator's matrix products bfloat16, because the kernel reads float32 from memory."""

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]  # of x, gain, weight_kSR, bias_R, weight_SZ, bias_S


def last_summaries(x_BTD: Tensor, *operands: Tensor | None) -> Tensor:
    """Return u at each sequence's last step, (B, k, S). The operands are those of `summaries`."""
    return summaries(x_BTD, *operands)[0][..., : len(x_BTD)].permute(2, 0, 1)


def every_output(x_BTD: Tensor, *operands: Tensor | None) -> Tensor:
    """Return y at every step, (B, T, H). The operands are those of `outputs`."""
    return outputs(x_BTD, *operands)[0]


@torch.library.custom_op("fru::summaries", mutates_args=())
@in_float32
def summaries(
    x_BTD: Tensor, gain_Tk: Tensor, keep_k: Tensor, weight_kSR: Tensor, bias_R: Tensor, weight_SZ: Tensor,
    bias_S: Tensor, lengths_B: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return u at each sequence's last step, (k, S, P), φ, and the kept states. `Recurrence` explains the operands."""
    recurrence = Recurrence(x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, lengths_B)
    phi_TSP, kept = recurrence.storage()
    u_kSP = phi_TSP.new_zeros(recurrence.k, recurrence.S, recurrence.P)
    for _ in recurrence.forward(phi_TSP, kept, u_kSP):
        pass
    if recurrence.masks:  # the kernel's sum leaves out frequencies that show the last step only
        u_kSP.addcmul_(recurrence.present_k[:, None, None], recurrence.last_step(phi_TSP))
    return u_kSP, phi_TSP, kept


@torch.library.custom_op("fru::summaries_backward", mutates_args=())
@in_float32
def summaries_backward(
    du_kSP: Tensor, phi_TSP: Tensor, kept: Tensor, x_BTD: Tensor, gain_Tk: Tensor, keep_k: Tensor,
    weight_kSR: Tensor, bias_R: Tensor, weight_SZ: Tensor, bias_S: Tensor, lengths_B: Tensor | None, with_input: bool,
) -> Gradients:  # fmt: skip
    """Return the gradients of the operands, x's empty unless `with_input`."""
    recurrence = Recurrence(x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, lengths_B)
    # A masked frequency's u is g φ of the last step, so its gradient enters φ there. The kernel spreads the others'
    # over all steps.
    dlast_SP = (recurrence.present_k @ du_kSP.flatten(1)).view(du_kSP.shape[1:])
    gradients = recurrence.backward(phi_TSP, kept, None, du_kSP, dlast_SP, with_input)
    if recurrence.masks:
        last_SP = recurrence.last_step(phi_TSP)
        gradients.gain_Tk[0].addcmul_(recurrence.hidden_k, du_kSP.flatten(1) @ last_SP.flatten())
    return gradients


@torch.library.custom_op("fru::outputs", mutates_args=())
@in_float32
def outputs(
    x_BTD: Tensor, gain_Tk: Tensor, keep_k: Tensor, weight_kSR: Tensor, bias_R: Tensor, weight_SZ: Tensor,
    bias_S: Tensor, weight_kSH: Tensor, bias_H: Tensor, lengths_B: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return y at every step, (B, T, H), φ, and the kept states. `Recurrence` explains the first operands.

    y_t = σ(b + Dᵀ φ_t + Σ_{τ≤t} A_τᵀ φ_τ), where A and D are those of W_y (weight_kSH).
    """
    recurrence = Recurrence(x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, lengths_B)
    phi_TSP, kept = recurrence.storage()
    y_BTH = x_BTD.new_empty(*x_BTD.shape[:2], len(bias_H))
    d_SH = recurrence.present(weight_kSH)
    sum_BH = x_BTD.new_zeros(len(x_BTD), len(bias_H))
    for chunk in recurrence.forward(phi_TSP, kept, phi_TSP.new_empty(0)):
        # Read out a few steps at a time, so that A of W_y and the sums exist for these only. The running sum over time
        # goes on from the last part's.
        for part in parts(chunk):
            phi_nBS = phi_TSP[part, :, : len(x_BTD)].mT
            sum_nBH = phi_nBS @ recurrence.at(part, weight_kSH)
            sum_nBH[0] += sum_BH
            torch.cumsum(sum_nBH, 0, out=sum_nBH)
            sum_BH = sum_nBH[-1].clone()
            if len(d_SH):
                sum_nBH += phi_nBS @ d_SH
            y_BTH[:, part] = sum_nBH.add_(bias_H).relu_().transpose(0, 1)
    return y_BTH, phi_TSP, kept


@torch.library.custom_op("fru::outputs_backward", mutates_args=())
@in_float32
def outputs_backward(
    dy_BTH: Tensor, y_BTH: Tensor, phi_TSP: Tensor, kept: Tensor, x_BTD: Tensor, gain_Tk: Tensor, keep_k: Tensor,
    weight_kSR: Tensor, bias_R: Tensor, weight_SZ: Tensor, bias_S: Tensor, weight_kSH: Tensor, lengths_B: Tensor | None,
    with_input: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Return what `summaries_backward` returns, then the gradients of weight_kSH and bias_H."""
    recurrence = Recurrence(x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, lengths_B)
    dweight_kSH, dbias_H = torch.zeros_like(weight_kSH), weight_kSH.new_zeros(weight_kSH.shape[2])
    d_SH = recurrence.present(weight_kSH)
    dd_SH = torch.zeros_like(d_SH)
    sum_BH = dy_BTH.new_zeros(len(dy_BTH), dy_BTH.shape[2])

    def pull(chunk: slice) -> tuple[Tensor, Tensor]:
        nonlocal sum_BH
        g_cSP = torch.zeros_like(phi_TSP[chunk])
        dgain_ck = gain_Tk.new_empty(len(g_cSP), recurrence.k)
        for part in reversed(parts(chunk)):
            here = slice(part.start - chunk.start, part.stop - chunk.start)
            phi_nSB, g_nSB = (tensor[..., : len(dy_BTH)] for tensor in (phi_TSP[part], g_cSP[here]))
            # Through σ, whose slope y itself shows, and through D, which sees the present step only.
            dy_nBH = torch.where(y_BTH[:, part] <= 0, 0, dy_BTH[:, part]).transpose(0, 1).contiguous()
            dbias_H.add_(dy_nBH.sum((0, 1)))
            if len(d_SH):
                dd_SH.add_((phi_nSB @ dy_nBH).sum(0))
                g_nSB += d_SH @ dy_nBH.mT
            # φ_t enters every output from t on: sum the gradients of this step and the later ones, carried from part to
            # part. The sum gives dA, from which W_y and the gains get their gradients, and A's share of φ's gradient.
            dy_nBH[-1] += sum_BH
            sum_nBH = dy_nBH.flip(0).cumsum(0).flip(0)
            sum_BH = sum_nBH[0].clone()
            da_nQ = (phi_nSB @ sum_nBH).flatten(1)
            dweight_kSH.flatten(1).addmm_(recurrence.kept_gain_Tk[part].T, da_nQ)
            dgain_ck[here] = da_nQ @ weight_kSH.flatten(1).T
            g_nSB += recurrence.at(part, weight_kSH) @ sum_nBH.mT
        return g_cSP, dgain_ck

    nothing = phi_TSP.new_empty(0)
    gradients = recurrence.backward(phi_TSP, kept, pull, nothing[:, None, None], nothing, with_input)
    recurrence.pull_present(dd_SH, weight_kSH, dweight_kSH, gradients.gain_Tk)
    return *gradients, dweight_kSH, dbias_H


def parts(chunk: slice) -> list[slice]:
    return [slice(t, min(t + READ_OUT, chunk.stop)) for t in range(chunk.start, chunk.stop, READ_OUT)]


# Register the operators' shapes and gradients with torch.


def gradient_shapes(x_BTD: Tensor, *parameters: Tensor, with_input: bool) -> list[Tensor]:
    dx_BTD = x_BTD.new_empty(x_BTD.shape if with_input else 0)
    return [dx_BTD, *(parameter.new_empty(parameter.shape) for parameter in parameters)]


@summaries.register_fake
def _(x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, lengths_B):  # type: ignore[no-untyped-def]
    _, S, R = weight_kSR.shape
    phi_TSP, kept = saved_tensors(x_BTD, S, R)
    return x_BTD.new_empty(*weight_kSR.shape[:2], phi_TSP.shape[2]), phi_TSP, kept


@outputs.register_fake
def _(x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, weight_kSH, bias_H, lengths_B):  # type: ignore[no-untyped-def]
    return x_BTD.new_empty(*x_BTD.shape[:2], bias_H.shape[0]), *saved_tensors(x_BTD, *weight_kSR.shape[1:])


@summaries_backward.register_fake
def _(du, phi, kept, x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, lengths_B, with_input):  # type: ignore[no-untyped-def]
    return tuple(gradient_shapes(x_BTD, gain_Tk, weight_kSR, bias_R, weight_SZ, bias_S, with_input=with_input))


@outputs_backward.register_fake
def _(  # type: ignore[no-untyped-def]
    dy, y, phi, kept, x_BTD, gain_Tk, keep_k, weight_kSR, bias_R, weight_SZ, bias_S, weight_kSH, lengths_B, with_input
):
    operands = (gain_Tk, weight_kSR, bias_R, weight_SZ, bias_S, weight_kSH)
    shapes = gradient_shapes(x_BTD, *operands, with_input=with_input)
    return *shapes, weight_kSH.new_empty(weight_kSH.shape[2])


def save_summaries(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, *made = output
    ctx.save_for_backward(*made, *inputs)


def save_outputs(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *operands, _bias_H, lengths_B = inputs
    ctx.save_for_backward(*output, *operands, lengths_B)


def pull_summaries(ctx: Any, du_kSP: Tensor, *_: Any) -> tuple[Any, ...]:
    with_input = ctx.needs_input_grad[0]
    dx, dgain, *rest = summaries_backward(du_kSP.contiguous(), *ctx.saved_tensors, with_input)
    return dx if with_input else None, dgain, None, *rest, None


def pull_outputs(ctx: Any, dy_BTH: Tensor, *_: Any) -> tuple[Any, ...]:
    with_input = ctx.needs_input_grad[0]
    dx, dgain, *rest = outputs_backward(dy_BTH, *ctx.saved_tensors, with_input)
    return dx if with_input else None, dgain, None, *rest, None


summaries.register_autograd(pull_summaries, setup_context=save_summaries)
outputs.register_autograd(pull_outputs, setup_context=save_outputs)
