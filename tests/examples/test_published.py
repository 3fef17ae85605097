"""Totals of the example nets against figures that others published."""

import json
from collections import Counter
from math import floor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import netdsl

EXAMPLES = Path(__file__).parents[2] / "examples"
PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))["networks"]
QUANTITIES = ("params", "buffers", "macs", "depth", "largest_activation")
M, G = 10**6, 10**9

INDEX = json.loads((EXAMPLES / "index.json").read_text(encoding="utf-8"))
TORCHVISION = [
    (entry["file"], entry["net"], entry["equals"].removeprefix("torchvision:"))
    for entry in INDEX
    if (entry["equals"] or "").startswith("torchvision:") and "." not in entry["equals"]
]
"""Classifiers that torchvision publishes weights of, and says how large they are."""

PAPERS = [
    # He et al. 2015, table 1 ("FLOPs" are multiply-adds). Version 1's stride, in the first 1x1, is what it counts.
    ("resnet.net", "ResNet18", {}, "macs", "1.8", G),
    ("resnet.net", "ResNet34", {}, "macs", "3.6", G),
    ("resnet.net", "Plain34", {}, "macs", "3.6", G),
    ("resnet.net", "ResNet50v1", {}, "macs", "3.8", G),
    ("resnet.net", "ResNet101v1", {}, "macs", "7.6", G),
    ("resnet.net", "ResNet152v1", {}, "macs", "11.3", G),
    # Ibid., table 6.
    ("resnet_cifar.net", "ResNet20", {}, "params", "0.27", M),
    ("resnet_cifar.net", "ResNet20", {"depth": 32}, "params", "0.46", M),
    ("resnet_cifar.net", "ResNet20", {"depth": 44}, "params", "0.66", M),
    ("resnet_cifar.net", "ResNet56", {}, "params", "0.85", M),
    ("resnet_cifar.net", "ResNet110", {}, "params", "1.7", M),
    ("resnet_cifar.net", "ResNet110", {"depth": 1202}, "params", "19.4", M),
    # Ciresan et al. 2010, table 1.
    ("mlp.net", "MLP6", {}, "params", "12.11", M),
    # Simonyan & Zisserman 2014, table 2.
    ("vgg.net", "VGG11", {}, "params", "133", M),
    ("vgg.net", "VGG13", {}, "params", "133", M),
    ("vgg.net", "VGG16", {}, "params", "138", M),
    ("vgg.net", "VGG19", {}, "params", "144", M),
    # Xie et al. 2016, table 1.
    ("resnet.net", "ResNeXt50", {}, "params", "25.0", M),
    ("resnet.net", "ResNeXt50", {}, "macs", "4.2", G),
    # Zagoruyko & Komodakis 2016, table 8.
    ("resnet.net", "WideResNet50", {}, "params", "68.9", M),
    # Chollet 2016, table 3.
    ("xception.net", "Xception", {}, "params", "22.855952", M),
    # Iandola et al. 2016, table 1.
    ("squeezenet.net", "SqueezeNet10", {}, "params", "1.248424", M),
    # Howard et al. 2017, table 6; https://github.com/tensorflow/models, research/slim/nets/mobilenet_v1.md.
    ("mobilenet.net", "MobileNetV1", {}, "params", "4.2", M),
    ("mobilenet.net", "MobileNetV1", {}, "macs", "569", M),
    ("mobilenet.net", "MobileNetV1", {"multiplier": 0.75}, "params", "2.6", M),
    ("mobilenet.net", "MobileNetV1", {"multiplier": 0.75}, "macs", "325", M),
    ("mobilenet.net", "MobileNetV1", {"multiplier": 0.5}, "params", "1.3", M),
    ("mobilenet.net", "MobileNetV1", {"multiplier": 0.5}, "macs", "149", M),
    ("mobilenet.net", "MobileNetV1", {"multiplier": 0.25}, "params", "0.47", M),
    ("mobilenet.net", "MobileNetV1", {"multiplier": 0.25}, "macs", "41", M),
    # Sandler et al. 2018, table 4.
    ("mobilenet2.net", "MobileNetV2", {}, "macs", "300", M),
    # https://github.com/megvii-model/ShuffleNet-Series, ShuffleNetV1/README.md, by the authors of the paper.
    ("shufflenet.net", "ShuffleNetV1", {}, "params", "1.9", M),
    ("shufflenet.net", "ShuffleNetV1", {"width": 384, "groups": 8}, "params", "2.4", M),
    # Ma et al. 2018, table 5.
    ("shufflenet2.net", "ShuffleNetV2x05", {}, "params", "1.4", M),
    ("shufflenet2.net", "ShuffleNetV2", {}, "params", "2.3", M),
    ("shufflenet2.net", "ShuffleNetV2x15", {}, "params", "3.5", M),
    ("shufflenet2.net", "ShuffleNetV2x20", {}, "params", "7.4", M),
    # Tan & Le 2019, table 2, which has 0.70 for B1; torchvision publishes 0.687, as we count.
    ("efficientnet.net", "EfficientNetB0", {}, "macs", "0.39", G),
    ("efficientnet.net", "EfficientNetB2", {}, "macs", "1.0", G),
    ("efficientnet.net", "EfficientNetB3", {}, "macs", "1.8", G),
    # Han et al. 2019, table 7.
    ("ghostnet.net", "GhostNet", {}, "params", "5.2", M),
    ("ghostnet.net", "GhostNet", {}, "macs", "141", M),
    # Radosavovic et al. 2020, table 5.
    ("regnet.net", "RegNetY400MF", {}, "params", "4.3", M),
    ("regnet.net", "RegNetY400MF", {}, "macs", "0.4", G),
    # Ding et al. 2021, table 4.
    ("repvgg.net", "RepVGGA0deployed", {}, "params", "8.30", M),
    ("repvgg.net", "RepVGGA0deployed", {}, "macs", "1.4", G),
    ("repvgg.net", "RepVGGB0deployed", {}, "params", "14.33", M),
    ("repvgg.net", "RepVGGB0deployed", {}, "macs", "3.1", G),
    # Liu et al. 2022, table 1.
    ("convnext.net", "ConvNeXtT", {}, "params", "29", M),
    ("convnext.net", "ConvNeXtT", {}, "macs", "4.5", G),
    # Redmon & Farhadi 2018: the log of the authors' program counts two operations a multiply-add.
    ("yolo3.net", "YOLOv3", {}, "params", "61.949149", M),
    ("yolo3.net", "YOLOv3", {}, "macs", "65.864", G // 2),
    # Jocher et al. 2020: YOLOv5s as release 6.0 logs it.
    ("yolo5.net", "YOLOv5s", {}, "params", "7.235389", M),
    # torchvision's ssd300_vgg16 and, its backbone's norms learnt, retinanet_resnet50_fpn.
    ("ssd.net", "SSD300", {}, "params", "35.641826", M),
    ("retinanet.net", "RetinaNet", {}, "params", "34.068119", M),
    # Tan et al. 2019, table 2.
    ("efficientdet.net", "EfficientDetD0", {}, "macs", "2.5", G),
    # Noh et al. 2015, section 3.2.
    ("deconvnet.net", "DeconvNet", {}, "params", "252", M),
    # Dai et al. 2016, table 1; M5's is cut off.
    ("m5.net", "M3", {}, "params", "0.2", M),
    ("m5.net", "M5", {}, "params", "0.5", M),
    ("m5.net", "M11", {}, "params", "1.8", M),
    ("m5.net", "M18", {}, "params", "3.7", M),
    # Arik et al. 2017, abstract.
    ("crnn.net", "KeywordCRNN", {}, "params", "229", 1000),
    # https://huggingface.co/openai-community/gpt2, as its parameters are counted.
    ("gpt2.net", "GPT2", {}, "params", "124.439808", M),
    # Karras et al. 2020, section 4.2 (of the larger networks): the generator's.
    ("stylegan2.net", "StyleGAN2", {}, "params", "30", M),
    # Ho et al. 2020, appendix B, who have 35.7; https://huggingface.co/google/ddpm-cifar10-32, their model, as counted.
    ("ddpm.net", "DDPM", {}, "params", "35.746307", M),
    # PyTorch's DCGAN example, as torchsummary counts it (both figures stand in many public READMEs).
    ("dcgan.net", "DCGANGenerator", {}, "params", "3.576704", M),
    ("dcgan.net", "DCGANDiscriminator", {}, "params", "2.765568", M),
    # https://github.com/HRNet/HRNet-Image-Classification, README.md; its lib/utils/modelsummary.py divides by 1024**3.
    ("hrnet.net", "HRNetW18", {}, "params", "21.3", M),
    ("hrnet.net", "HRNetW18", {}, "macs", "3.99", 2**30),
]
"""Figures of papers: file, net, settings, quantity, figure, unit."""


def totals(file: str, net: str, **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = netdsl.load(str(EXAMPLES / file), net=net, **settings).summary().to_dict()["totals"]
    return found


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry["net"])
def test_totals_are_those_of_the_public_definition(entry: dict[str, Any]) -> None:
    found = totals(entry["file"], entry["net"], **entry.get("settings", {}))
    assert {name: found[name] for name in QUANTITIES} == {name: entry[name] for name in QUANTITIES}


@pytest.mark.parametrize(("file", "net", "settings", "quantity", "figure", "unit"), PAPERS)
def test_the_paper_counts_the_same(
    file: str, net: str, settings: dict[str, Any], quantity: str, figure: str, unit: int
) -> None:
    """To the digits that are printed: some papers round, some cut off."""
    assert agrees(totals(file, net, **settings)[quantity] / unit, figure)


def agrees(found: float, figure: str) -> bool:
    """Whether a figure is this quantity, rounded or cut off to its digits."""
    step = 10 ** -len(figure.partition(".")[2])
    return round(float(figure) / step) in (round(found / step), floor(found / step))


@pytest.mark.parametrize(("file", "net", "name"), TORCHVISION)
def test_torchvision_publishes_the_same_figures(file: str, net: str, name: str, models: ModuleType) -> None:
    """What it prints beside every set of its weights: the parameters, and billions of multiply-adds to three digits at
    the size that the weights are for. The parameters of its Inception v3 include the head that is used in training."""
    for weights in models.get_model_weights(name):
        size = weights.transforms.keywords["crop_size"]
        network = netdsl.load(str(EXAMPLES / file), net=net, shape={"image": (3, size, size)})
        found = network.summary().to_dict()["totals"]
        assert round(found["macs"] / G, 3) == weights.meta["_ops"]
        if net == "InceptionV3":
            found = totals(file, net, training=True)
        assert found["params"] == weights.meta["num_params"]


def test_stylegan2_has_the_layers_of_its_authors() -> None:
    """As their later program for PyTorch prints them when it starts to train (configuration F; its log is quoted in
    https://github.com/open-mmlab/mmgeneration/issues/394): a convolution with its style, bias and strength of noise."""
    layers: Counter[str] = Counter()
    for layer in netdsl.load(str(EXAMPLES / "stylegan2.net")).summary().to_dict()["layers"]:
        layers[layer["name"].rpartition(".")[0]] += layer["params"]
    assert [layers[name] for name in ("styled2.3", "x.64", "rgb2.3")] == [2_622_465, 2_622_465, 264_195]
    assert [layers[name] for name in ("styled2.4", "x.128", "rgb2.4")] == [1_442_561, 721_409, 132_099]
    assert [layers[name] for name in ("styled2.5", "x.256", "rgb2.5")] == [426_369, 213_249, 66_051]
    assert layers["styled2.6"] == 139_457


@pytest.mark.parametrize(
    ("width", "groups", "figure"), [(144, 1, 143), (200, 2, 140), (240, 3, 137), (272, 4, 133), (384, 8, 137)]
)
def test_shufflenet_has_the_paper_s_work_in_its_convolutions(width: int, groups: int, figure: int) -> None:
    """Zhang et al. 2017, table 1, in millions of multiply-adds: all but those of the last, fully connected layer."""
    macs = by_layer("shufflenet.net", "ShuffleNetV1", "macs", width=width, groups=groups)
    assert macs["fc"] == 4 * width * 1000
    assert round((sum(macs.values()) - macs["fc"]) / M) == figure


@pytest.mark.parametrize(("net", "figure"), [("B0", "5.3"), ("B1", "7.8"), ("B2", "9.2"), ("B3", "12")])
def test_efficientnet_s_paper_counts_running_statistics_too(net: str, figure: str) -> None:
    """Tan & Le 2019, table 2: of B2, 9.11 million are learnt and 0.07 million are means and variances."""
    found = totals("efficientnet.net", f"EfficientNet{net}")
    assert agrees((found["params"] + found["buffers"]) / M, figure)


def test_overfeat_has_the_paper_s_layers() -> None:
    """Sermanet et al. 2013, table 1: channels, windows and extents of the fast model, 145 million parameters. Their
    2,810 million connections are 0.3 % more than the multiplications and biases of these layers, which the paper does
    not list one by one."""
    rows = [(96, 3 * 11**2, 56), (256, 96 * 5**2, 24), (512, 256 * 3**2, 12), (1024, 512 * 3**2, 12)]
    rows += [(1024, 1024 * 3**2, 12), (3072, 1024 * 6**2, 1), (4096, 3072, 1), (1000, 4096, 1)]
    names = ("conv", "conv2", "conv3", "conv4", "fc", "fc2", "scores")
    params, macs = (by_layer("overfeat.net", "OverFeat", quantity) for quantity in ("params", "macs"))
    assert sum(params[name] for name in names) == sum(channels * (seen + 1) for channels, seen, _ in rows)
    assert sum(macs[name] for name in names) == sum(channels * seen * extent**2 for channels, seen, extent in rows)
    assert floor(sum(params[name] for name in names) / M) == 145
    connections = sum(channels * (seen + 1) * extent**2 for channels, seen, extent in rows)
    assert round(2810 - connections / M) == 8


def test_the_stride_changes_the_work_and_not_the_weights() -> None:
    v1, later = totals("resnet.net", "ResNet50v1"), totals("resnet.net", "ResNet50")
    assert v1["params"] == later["params"]
    assert v1["macs"] < later["macs"]


def by_layer(file: str, net: str, quantity: str, **settings: Any) -> Counter[str]:
    """A quantity summed over the layers of each block call at the top of the net, or of each layer alone there."""
    found: Counter[str] = Counter()
    layers = netdsl.load(str(EXAMPLES / file), net=net, **settings).summary().to_dict()["layers"]
    for layer in layers:
        found[layer["name"].partition(".")[0]] += layer[quantity]
    return found


def test_lenet5_has_the_paper_s_layers() -> None:
    """LeCun et al. 1998, section II.B: the learnt parameters of every layer, 60,000 in all. A connection is a weight at
    a place; biases count. Ours are 840 more: the pictures of the characters, which the paper sets by hand."""
    paper = {
        "C1": (156, 122_304),
        "S2": (12, 5_880),
        "C3": (1_516, 151_600),
        "S4": (32, 2_000),
        "C5": (48_120, 48_120),
        "F6": (10_164, 10_164),
    }
    ours = {
        "conv": "C1",
        "subsample": "S2",
        "conv2": "C3",
        "subsample2": "S4",
        "conv3": "C5",
        "fc": "F6",
        "difference": "pictures",
    }
    params = by_layer("lenet5_1998.net", "LeNet5Paper", "params")
    counts = {ours[name]: count for name, count in params.items() if count}
    assert counts == {name: count for name, (count, _) in paper.items()} | {"pictures": 10 * 84}
    assert sum(count for count, _ in paper.values()) == 60_000
    macs = by_layer("lenet5_1998.net", "LeNet5Paper", "macs")
    places = {"conv": 28 * 28, "subsample": 14 * 14, "conv2": 10 * 10, "subsample2": 5 * 5, "conv3": 1, "fc": 1}
    biases = {"conv": 6, "subsample": 6, "conv2": 16, "subsample2": 16, "conv3": 120, "fc": 84}
    more = {"subsample": 3 * 6 * 14 * 14, "subsample2": 3 * 16 * 5 * 5}  # a coefficient times one of 4 summed inputs
    connections = {ours[name]: macs[name] + biases[name] * n + more.get(name, 0) for name, n in places.items()}
    assert connections == {name: found for name, (_, found) in paper.items()}


def test_googlenet_has_the_paper_s_layers() -> None:
    """Szegedy et al. 2014, table 1, in millions of multiply-adds. Two rows of theirs are not what they say: the first
    convolution's 2.7 K weights and 34 M are those of a 7x1 and a 1x7, and the row of 5a counts 3 M too many. 4a,
    73.6 M, is cut off."""
    paper = {"conv": 34, "conv2+3": 360, "3a": 128, "3b": 304, "4a": 73, "4b": 88, "4c": 100, "4d": 119, "4e": 170}
    paper |= {"5a": 54, "5b": 71, "fc": 1}
    macs = by_layer("googlenet.net", "GoogLeNet", "macs")
    rows = {"conv": macs["conv"], "conv2+3": macs["conv2"] + macs["conv3"], "fc": macs["logits"]}
    names = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    rows |= {name: macs[f"inception{n}" if n > 1 else "inception"] for n, name in enumerate(names, 1)}
    assert sum(rows.values()) == sum(macs.values())
    differences = {name: round(count / M) - paper[name] for name, count in rows.items()}
    factored = 2 * 7 * 3 * 64 * 112 * 112
    explained = {"conv": round((macs["conv"] - factored) / M), "5a": -3, "4a": 1}
    assert {name: much for name, much in differences.items() if much} == explained


def test_googlenet_has_the_parameters_of_the_published_definition() -> None:
    """Caffe's `bvlc_googlenet`, for inference and (`train_val.prototxt`) for training."""
    assert totals("googlenet.net", "GoogLeNet")["params"] == 6_998_552
    assert totals("googlenet.net", "GoogLeNet", training=True)["params"] == 13_378_280
