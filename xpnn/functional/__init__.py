"""L2: the maths. Functions with PyTorch's names and arguments, on raw arrays and on Tensors alike."""

from xpnn.functional.activation import (
    celu,
    elu,
    gelu,
    leaky_relu,
    logsigmoid,
    prelu,
    relu,
    selu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from xpnn.functional.attention import attention_with_weights, scaled_dot_product_attention
from xpnn.functional.conv import conv2d, conv_transpose2d
from xpnn.functional.cross_entropy import cross_entropy, nll_loss
from xpnn.functional.dropout import dropout, dropout1d, dropout2d, dropout3d
from xpnn.functional.embedding import embedding
from xpnn.functional.group_norm import group_norm, instance_norm, rms_norm
from xpnn.functional.hard_activation import hardsigmoid, hardswish, hardtanh, relu6
from xpnn.functional.linear import linear
from xpnn.functional.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from xpnn.functional.multi_head import multi_head_attention_forward
from xpnn.functional.norm import batch_norm, batch_norm_with_statistics, layer_norm, running_statistics
from xpnn.functional.pool import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d
from xpnn.functional.rnn import (
    gru,
    gru_cell,
    lstm,
    lstm_cell,
    rnn_relu,
    rnn_relu_cell,
    rnn_tanh,
    rnn_tanh_cell,
)
from xpnn.functional.softmax import log_softmax, softmax
from xpnn.functional.windows import conv_output_size, conv_transpose_output_size

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "attention_with_weights",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_with_statistics",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv2d",
    "conv_output_size",
    "conv_transpose2d",
    "conv_transpose_output_size",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "gru",
    "gru_cell",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "lstm",
    "lstm_cell",
    "max_pool2d",
    "mse_loss",
    "multi_head_attention_forward",
    "nll_loss",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
    "running_statistics",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]
