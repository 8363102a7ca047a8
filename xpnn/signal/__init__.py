"""What PyTorch has for signals: windows. The transforms are `xpnn.fft`, `xpnn.stft` and `xpnn.istft`."""

from xpnn.signal import windows as windows
