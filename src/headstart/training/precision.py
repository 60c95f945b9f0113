"""Detect whether a device is fast at bfloat16 products, and use them."""

import torch


def has_fast_bf16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 0)
    instructions = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)
    return device.type == "cpu" and any(supported() for supported in instructions)


def quick_products(device: torch.device) -> torch.autocast:
    """Multiply in bfloat16 in this block, if the device is fast at it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bf16(device))
