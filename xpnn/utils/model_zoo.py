"""State dicts from the internet, under PyTorch's older path to them."""

from __future__ import annotations

from xpnn.hub import load_state_dict_from_url as load_state_dict_from_url

load_url = load_state_dict_from_url
