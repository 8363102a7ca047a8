"""Networks: classes, functions that make them, and `create`, which takes a name."""

from xpnn.models.alexnet import AlexNet, alexnet, alexnet_two_columns, zfnet
from xpnn.models.convnext import ConvNeXt, convnext_tiny
from xpnn.models.ctc import StripRecogniser, ctc_beam_decode, ctc_greedy_decode
from xpnn.models.densenet import DenseNet, densenet121, small_densenet
from xpnn.models.detector import Detector, DetectorLosses, DetectorOutputs
from xpnn.models.efficientnet import EfficientNet, efficientnet_b0
from xpnn.models.fcn import FCN
from xpnn.models.gan import Discriminator, Generator
from xpnn.models.googlenet import GoogLeNet, GoogLeNetOutputs, googlenet
from xpnn.models.gpt import GPT, sample_tokens
from xpnn.models.gsn import GSN
from xpnn.models.lenet import LeNet, SmallLeNet, lenet
from xpnn.models.made import MADE
from xpnn.models.mae import MaskedAutoencoder
from xpnn.models.mlp import MLP, mlp
from xpnn.models.mobilenet_v2 import MobileNetV2, mobilenet_v2, small_mobilenet_v2
from xpnn.models.nade import NADE
from xpnn.models.non_local import NonLocalBlock
from xpnn.models.pixelcnn import PixelCNN
from xpnn.models.pixelrnn import PixelRNN
from xpnn.models.rbm import RBM
from xpnn.models.registry import create, input_shape, names, register, takes
from xpnn.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from xpnn.models.resnet_small import (
    PaddedShortcut,
    SmallResNet,
    resnet20,
    resnet32,
    resnet44,
    resnet56,
    resnet110,
)
from xpnn.models.segnet import SegNet
from xpnn.models.seq2seq import Seq2Seq
from xpnn.models.sequences import SequenceClassifier, Tagger
from xpnn.models.shufflenet_v2 import ShuffleNetV2, shufflenet_v2_x0_5, shufflenet_v2_x1_0
from xpnn.models.sliding_window import as_convolution
from xpnn.models.unet import UNet
from xpnn.models.vae import VAE, Autoencoder
from xpnn.models.vgg import VGG, small_vgg, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from xpnn.models.vit import VisionTransformer, small_vit, vit_b_16
from xpnn.models.weights import load_weights
from xpnn.models.word2vec import SkipGram

__all__ = [
    "FCN",
    "GPT",
    "GSN",
    "MADE",
    "MLP",
    "NADE",
    "RBM",
    "VAE",
    "VGG",
    "AlexNet",
    "Autoencoder",
    "BasicBlock",
    "Bottleneck",
    "ConvNeXt",
    "DenseNet",
    "Detector",
    "DetectorLosses",
    "DetectorOutputs",
    "Discriminator",
    "EfficientNet",
    "Generator",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "LeNet",
    "MaskedAutoencoder",
    "MobileNetV2",
    "NonLocalBlock",
    "PaddedShortcut",
    "PixelCNN",
    "PixelRNN",
    "ResNet",
    "SegNet",
    "Seq2Seq",
    "SequenceClassifier",
    "ShuffleNetV2",
    "SkipGram",
    "SmallLeNet",
    "SmallResNet",
    "StripRecogniser",
    "Tagger",
    "UNet",
    "VisionTransformer",
    "alexnet",
    "alexnet_two_columns",
    "as_convolution",
    "convnext_tiny",
    "create",
    "ctc_beam_decode",
    "ctc_greedy_decode",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "input_shape",
    "lenet",
    "load_weights",
    "mlp",
    "mobilenet_v2",
    "names",
    "register",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "sample_tokens",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "small_densenet",
    "small_mobilenet_v2",
    "small_vgg",
    "small_vit",
    "takes",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vit_b_16",
    "zfnet",
]
