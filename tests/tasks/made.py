"""Tokenizers of many kinds, made here: what models come with, but small."""

from functools import cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import AutoTokenizer, PreTrainedTokenizer, PreTrainedTokenizerFast

STORIES = Path(__file__).parents[3] / "shared" / "data" / "model_stories260k"
CORPUS = (
    "Name the capital of France. Paris", "Translate the word into German:\ncheese\nKäse",
    "Is it true? Say yes or no. yes no", "the then there them", "Count the letters. 1 2 3 4 5 6 7",
)  # fmt: skip
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] | trim }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}


def backend(kind: str) -> Tokenizer:
    """`words`: WordLevel; `bytes`: byte-level BPE; `trimmed`: the same with trimmed offsets;
    `pieces`: SentencePiece-like with a space in front of every text, bytes for the unknown."""
    if kind == "words":
        words = sorted({word for text in CORPUS for word in text.split()})
        vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", "</s>", *words])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return tokenizer
    if kind == "pieces":
        pieces = ["▁", "▁the", "th", "he", "t", "h", "e", "a", "s", "P", "▁P", "n"]
        names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
        merges = [("t", "h"), ("h", "e"), ("▁", "P"), ("▁", "the")]
        names += ["the"]
        merges.insert(1, ("th", "e"))
        vocabulary = {name: i for i, name in enumerate(names)}
        tokenizer = Tokenizer(
            models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
        )
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
             decoders.Strip(" ", 1, 0)]
        )  # fmt: skip
        return tokenizer
    tokenizer = Tokenizer(models.BPE())
    # Like the newer patterns: punctuation takes the line breaks after it.
    pattern = Regex(r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "isolated"),
         pre_tokenizers.ByteLevel(False, use_regex=False)]
    )  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS * 3,
        BpeTrainer(
            vocab_size=400, special_tokens=["<unk>", *SPECIALS.values()], show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )  # fmt: skip
    if kind == "trimmed":
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


@cache
def _json(kind: str, bos: bool, eos: bool) -> str:
    tokenizer = backend(kind)
    if bos or eos:
        single = " ".join(["<s>"] * bos + ["$A"] + ["</s>"] * eos)
        own = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])
        before = [tokenizer.post_processor] if tokenizer.post_processor else []
        tokenizer.post_processor = processors.Sequence([*before, own])
    tokenizer.add_special_tokens(["<unk>", *SPECIALS.values()])
    return tokenizer.to_str()


def fast(
    kind: str = "bytes", *, bos: bool = False, eos: bool = False, **settings: object
) -> PreTrainedTokenizerFast:
    made = Tokenizer.from_str(_json(kind, bos, eos))
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", **SPECIALS, **settings)


def stories() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(STORIES)


class Slow(PreTrainedTokenizer):
    """Letters, but `merges` are one token each: no offsets, as in tokenizers written in Python."""

    def __init__(self, merges: tuple[str, ...] = (), **settings: object) -> None:
        letters = [chr(code) for code in range(32, 127)] + ["\n"]
        self.vocabulary = {
            token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *letters, *merges])
        }
        self.merges = merges
        super().__init__(unk_token="<unk>", **SPECIALS, **settings)

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.vocabulary)

    def _tokenize(self, text: str, **_: object) -> list[str]:
        tokens = []
        while text:
            token = next((merge for merge in self.merges if text.startswith(merge)), text[0])
            tokens.append(token)
            text = text[len(token) :]
        return tokens

    def _convert_token_to_id(self, token: str) -> int:
        return self.vocabulary.get(token, 0)

    def _convert_id_to_token(self, index: int) -> str:
        return list(self.vocabulary)[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)

    def build_inputs_with_special_tokens(
        self,
        token_ids_0: list[int],
        token_ids_1: list[int] | None = None,  # noqa: ARG002 - the name is transformers'
    ) -> list[int]:
        return [1, *token_ids_0]
