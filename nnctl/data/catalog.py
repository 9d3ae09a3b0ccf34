"""One table of the datasets: title, shape, classes, files, SHA-256 and mirrors."""

from __future__ import annotations

from dataclasses import dataclass

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(frozen=True)
class DataFile:
    """One published file, and what identifies its bytes.

    Attributes:
        name: the name of the unpacked file; the published one has `.gz` behind it.
        gz_size: bytes of the published file.
        gz_sha256: of the published file.
        size: bytes of the unpacked file.
        sha256: of the unpacked file; empty where nobody has published it.
    """

    name: str
    gz_size: int
    gz_sha256: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Entry:
    """What is known of a dataset before any file of it is read.

    Attributes:
        title: its name as people write it.
        classes: what the labels 0 to 9 mean.
        torchvision: the folder torchvision keeps it in.
        mirrors: folders on the web, tried in this order.
        files: training images and labels, test images and labels; none where nnctl draws the images itself.
        shape: of one image.
    """

    title: str
    classes: tuple[str, ...]
    torchvision: str = ""
    mirrors: tuple[str, ...] = ()
    files: tuple[DataFile, ...] = ()
    shape: tuple[int, int] = (28, 28)

    @property
    def of_digits(self) -> bool:
        """Whether its images show the digits 0 to 9."""
        return self.classes == DIGITS

    @property
    def drawn(self) -> bool:
        """Whether nnctl draws its images itself."""
        return not self.files


# fmt: off
CATALOG = {
    "mnist": Entry(
        title="MNIST",
        classes=DIGITS,
        torchvision="MNIST",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://raw.githubusercontent.com/fgnt/mnist/master/",
        ),
        files=(
            DataFile(TRAIN_IMAGES, 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                     47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            DataFile(TRAIN_LABELS, 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                     60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            DataFile(TEST_IMAGES, 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                     7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            DataFile(TEST_LABELS, 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                     10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    ),
    "fashion-mnist": Entry(
        title="Fashion-MNIST",
        classes=CLOTHES,
        torchvision="FashionMNIST",
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        files=(
            DataFile(TRAIN_IMAGES, 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                     47_040_016),
            DataFile(TRAIN_LABELS, 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                     60_008),
            DataFile(TEST_IMAGES, 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                     7_840_016),
            DataFile(TEST_LABELS, 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                     10_008),
        ),
    ),
    "kmnist": Entry(
        title="KMNIST",
        classes=KANA,
        torchvision="KMNIST",
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        files=(
            DataFile(TRAIN_IMAGES, 18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                     47_040_016),
            DataFile(TRAIN_LABELS, 29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                     60_008),
            DataFile(TEST_IMAGES, 3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                     7_840_016),
            DataFile(TEST_LABELS, 5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
                     10_008),
        ),
    ),
    "synthetic": Entry(title="synthetic digits", classes=DIGITS),
}
# fmt: on
