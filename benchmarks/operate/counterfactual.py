"""Do a model's clusters and answers change with a pronoun, more than with any other word?

    python -m benchmarks.operate.counterfactual DATA MODEL [--clusters 20] [--seed 0]

DATA is `bias_audit/data.jsonl`, which is for evaluation only: nothing is trained here. Sentences
of Winogender with a male pronoun are the base; the attribute's edit makes it female, the null edit
exchanges as many of `the` for `this`. Answers: whether the occupation or the participant is
likelier after the question. Clusters: the nearest of k-means centers of the base sentences' states
at the last token, at a middle and at the last block.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import KMeans
from transformers import AutoModelForCausalLM, AutoTokenizer

from nucleate.monitor.audit import Pairs, flips, swapped_pairs

SWAP = {"he": "she", "his": "her", "him": "her", "himself": "herself"}
NULL = {"the": "this"}
VARIANTS = ("base", "attribute", "null")


def sentences(path: Path) -> tuple[dict[str, dict[str, str]], str]:
    """Male sentences with what they ask for, and the question."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    chosen = [row for row in rows if row.get("pronoun_gender") == "male"]
    return {row["input"]["sentence"]: row["input"] for row in chosen}, chosen[0]["instruction"]


def asked(tokenizer, question: str, sentence: str, about: dict[str, str]) -> str:
    slots = {**about, "sentence": sentence}
    for name, text in slots.items():
        question = question.replace("{" + name + "}", text)
    chat = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)


@torch.no_grad()
def read(model, tokenizer, prompt: str, answers: list[str]) -> tuple[str, np.ndarray]:
    """The likelier answer by mean log-likelihood of its tokens, and all blocks' last states."""
    start = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    scores = []
    for answer in answers:
        own = tokenizer(answer, add_special_tokens=False, return_tensors="pt").input_ids
        done = model(torch.cat([start, own], 1), output_hidden_states=True)
        said = done.logits[0, start.shape[1] - 1 : -1].log_softmax(-1)
        scores.append(float(said.gather(1, own[0][:, None]).mean()))
    states = torch.stack([each[0, start.shape[1] - 1] for each in done.hidden_states])
    return answers[int(np.argmax(scores))], states.float().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", help="a folder, a name, or a .gguf file")
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    source = {"pretrained_model_name_or_path": given.model}
    if given.model.endswith(".gguf"):
        file = Path(given.model)
        source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).eval()
    about, question = sentences(given.data)
    texts = list(about)
    answers: dict[str, list[str]] = {variant: [] for variant in VARIANTS}
    states: dict[str, list[np.ndarray]] = {variant: [] for variant in VARIANTS}
    for row in swapped_pairs(texts, SWAP, NULL):
        own = about[texts[row["pair"]]]
        prompt = asked(tokenizer, question, row["text"], own)
        answer, state = read(model, tokenizer, prompt, [own["occupation"], own["participant"]])
        answers[row["variant"]].append(answer)
        states[row["variant"]].append(state)
    results = {"answer": list(zip(*answers.values(), strict=True))}
    depth = len(states["base"][0]) - 1
    for block in (depth // 2, depth):
        at = {name: np.stack(each)[:, block].astype(np.float64) for name, each in states.items()}
        base = at["base"]
        mean, scale = base.mean(0), base.std(0) + 1e-9
        found = KMeans(given.clusters, n_init=10, random_state=given.seed).fit(
            (base - mean) / scale
        )
        nearest = [
            found.predict((each - mean) / scale).astype(str).tolist() for each in at.values()
        ]
        results[f"cluster, block {block} of {depth}"] = list(zip(*nearest, strict=True))
        moved = {
            name: np.median(np.linalg.norm((at[name] - base) / scale, axis=1))
            for name in ("attribute", "null")
        }
        print(f"block {block}: median move {moved['attribute']:.1f} (attribute), "
              f"{moved['null']:.1f} (null), in standard units")  # fmt: skip
    for one in flips(Pairs(results, True)):
        print(
            f"{one.what}: attribute {one.attribute:.2f} [{one.attribute_low:.2f}, "
            f"{one.attribute_high:.2f}], null {one.null:.2f} [{one.null_low:.2f}, "
            f"{one.null_high:.2f}] of {one.pairs}; difference {one.difference:+.2f} "
            f"[{one.low:+.2f}, {one.high:+.2f}], p {one.p:.3f}, adjusted {one.p_adjusted:.3f}: "
            f"{one.word}"
        )


if __name__ == "__main__":
    main()
