"""Text of one's own: windows against a plain reader, scores by hand, and one line for every bad input."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest

from jaxemerge import AdamW, Corpus, Experiment, Recall, TaskMixture, check_task, llama, paired, train
from jaxemerge.devices import Layout
from jaxemerge.runner.scores import measured, sheet_of
from jaxemerge.tasks.packing import pack_batch
from jaxemerge.training import program
from jaxemerge.training.plan import data_bytes, make_plan

RNG = np.random.default_rng(0)


def text(size: int) -> bytes:
    return RNG.integers(0, 256, size).astype(np.uint8).tobytes()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files of random bytes, so that hardly any window occurs twice."""
    for name, size in (("a.txt", 211), ("b.txt", 5), ("c.txt", 307)):
        (tmp_path / name).write_bytes(text(size))
    return sorted(tmp_path.iterdir())


def divided(parts: list[bytes], share: float) -> tuple[bytes, bytes]:
    """Plainly: of every file the end is held out; the rest is joined."""
    cuts = [len(part) - int(share * len(part)) for part in parts]
    pairs = list(zip(parts, cuts, strict=True))
    return b"".join(p[:c] for p, c in pairs), b"".join(p[c:] for p, c in pairs)


@pytest.mark.parametrize("as_folder", [True, False])
def test_windows_are_those_of_a_plain_reader(files: list[Path], as_folder: bool) -> None:
    path: Any = files[0].parent if as_folder else files
    task = Corpus(path, context=13, held_out=0.3)
    head, tail = divided([file.read_bytes() for file in files], 0.3)
    places = {head[i : i + 13]: i for i in range(len(head) - 12)}
    keys = jax.random.split(jax.random.key(1), 20_011)
    drawn = jax.jit(jax.vmap(task.sample, in_axes=(0, None)))(keys, *task.data)
    assert np.asarray(drawn.weights[:7]).tolist() == [[0.0] + 12 * [1.0]] * 7
    counts = np.zeros(len(places))
    for window in np.asarray(drawn.tokens, np.uint8):
        counts[places[window.tobytes()]] += 1  # a KeyError where it is no window of the text for training
    expected = len(keys) / len(places)
    assert counts.min() > 0
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_squared - len(counts)) < 4 * math.sqrt(2 * len(counts))  # each place is equally likely
    [held_out] = task.evaluation_sets()
    assert len(held_out.tokens) == len(tail) // 13
    starts = [tail.index(row.astype(np.uint8).tobytes()) for row in held_out.tokens]
    assert starts[0] == 0
    assert starts[-1] == len(tail) - 13
    assert min(np.diff(starts)) >= 13
    assert held_out.scored.tolist() == [[False] + 12 * [True]] * len(starts)
    assert held_out.text_bytes == 12 * len(starts)
    assert len(dataclasses.replace(task, windows=2).evaluation_sets()[0].tokens) == 2
    assert check_task(task) == ()


def test_a_batch_depends_on_seed_and_step_alone(files: list[Path]) -> None:
    task = Corpus(tuple(files), context=13)
    alone = jax.jit(lambda: pack_batch(task, jax.random.key(3), 5, 13))()
    given = jax.jit(lambda data: pack_batch(task, jax.random.key(3), 5, 13, data))(task.data)
    np.testing.assert_array_equal(alone.tokens, given.tokens)
    assert alone.tokens.shape == (5, 13)


def test_a_limit_cuts_the_text(files: list[Path]) -> None:
    parts = [files[0].read_bytes(), files[1].read_bytes(), files[2].read_bytes()[:34]]
    task = Corpus(tuple(files), context=3, limit=250)
    assert task.data[0].tobytes() == divided(parts, 0.1)[0]
    assert Corpus(tuple(files), context=3, limit=100).data[0].tobytes() == parts[0][:90]


def test_the_text_is_an_argument_of_the_program_and_counted_in_its_memory(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_bytes(text(1_000_003))
    short = tmp_path / "short.txt"
    short.write_bytes(text(2_003))
    sizes, planned = [], []
    for path in (tmp_path / "long.txt", short):
        cell = Experiment(Corpus(path, context=8), llama(1, 16, 1), batch=2, context=8, steps=3)
        built = program(cell, Layout(tuple(jax.devices()), 2))
        state = jax.eval_shape(built.init, cell.members)
        sizes.append(len(built.advance.lower(state, cell.members, 0, 1, 0, *cell.task.data).as_text()))
        planned.append(make_plan(cell, 4).bytes)
        [placed] = built.data
        assert placed.shape == (data_bytes(cell),)
        assert placed.sharding.is_fully_replicated
        again = program(dataclasses.replace(cell, model=llama(1, 8, 1)), built.layout)
        assert again.data[0] is placed  # cells of one task share it
    assert abs(sizes[0] - sizes[1]) < 1_000  # shapes are written in it, and no text
    assert planned[0] - planned[1] == len(jax.devices()) * (900_003 - 1_803)


def chain() -> tuple[np.ndarray, float]:
    """Transition probabilities of seven letters, and the entropy rate in nats."""
    moves = np.random.default_rng(5).dirichlet(np.full(7, 0.3), 7)
    values, vectors = np.linalg.eig(moves.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    entropies = -(moves * np.log(np.where(moves > 0, moves, 1))).sum(axis=1)
    return moves, float(stationary @ entropies)


@pytest.mark.slow  # trains a population: 5 s
def test_a_small_model_approaches_the_entropy_of_a_chain_and_not_less(tmp_path: Path) -> None:
    moves, entropy = chain()
    rng, state, letters = np.random.default_rng(1), 0, []
    sums = np.cumsum(moves, axis=1)
    for draw in rng.random(40_000):
        state = min(int(np.searchsorted(sums[state], draw)), 6)
        letters.append(97 + state)
    (tmp_path / "chain.txt").write_bytes(bytes(letters))
    task = Corpus(tmp_path / "chain.txt", context=32, windows=120)
    # Position 0 is not scored: one letter says all that can be known of the next.
    recipe: dict[str, Any] = {"optimizer": AdamW(2e-2, warmup=20), "steps": 200, "batch": 16, "context": 32}
    results = train(
        Experiment(task, llama(1, 16, 1), seeds=paired(range(2)), evaluations=1, **recipe)
    ).frame()
    ends = results.filter(pl.col("step") == 200, pl.col("split") == "held_out")
    assert set(ends["metric"]) == {"answer_nll", "bits_per_byte", "token_accuracy"}
    nats = ends.filter(metric="answer_nll")["value"].to_numpy()
    held_out = task.evaluation_sets()[0].tokens - 97
    true = -np.log(moves[held_out[:, :-1], held_out[:, 1:]]).mean()  # what the chain itself gets on it
    assert true == pytest.approx(entropy, rel=0.03)
    assert np.all(nats > true - 1e-3)
    assert np.all(nats < 1.04 * true)
    bits = ends.filter(metric="bits_per_byte")["value"].to_numpy()
    np.testing.assert_allclose(bits, nats / math.log(2), rtol=1e-6)  # one byte per token


def tokenizer_file(
    folder: Path, vocabulary: dict[str, int], unknown: str | None = None, name: str = "words.json"
) -> Path:
    """A tokenizer of whole words, written with the package's own format."""
    package = pytest.importorskip("tokenizers")
    model = package.models.WordLevel(vocabulary, **({"unk_token": unknown} if unknown else {}))
    made = package.Tokenizer(model)
    made.pre_tokenizer = package.pre_tokenizers.Whitespace()
    made.enable_truncation(3)  # as many files have it: a text is encoded whole
    made.save(str(folder / name))
    return folder / name


def test_bits_per_byte_of_a_tokenizer_by_hand(tmp_path: Path) -> None:
    level = tokenizer_file(tmp_path, {"né": 0, "to": 1, "be": 2, "or": 9})
    # Bytes from one end to the next: "to" 2, " be" 3, " or" 3, " né" 4, "  to" 4
    (tmp_path / "text").write_text("to be or né  to " * 20, encoding="utf-8")
    task = Corpus(tmp_path / "text", context=5, level=str(level), held_out=0.5)
    assert task.vocabulary == 10
    assert task.data[0].dtype == np.uint16
    assert task.data[0].tolist() == [1, 2, 9, 0, 1] * 10
    [held_out] = task.evaluation_sets()
    assert held_out.tokens.tolist() == [[1, 2, 9, 0, 1]] * 10
    assert held_out.text_bytes == 10 * (3 + 3 + 4 + 4)
    cell = Experiment(task, llama(1, 8, 1), context=5)
    sums = sheet_of(task)
    assert (sums.answers.tolist(), sums.text_bytes) == ([40], (140,))
    found = {
        one.metric: one for one in measured(cell, (np.zeros((1, 1)), np.array([[10]]), np.array([[70.0]])))
    }
    assert set(found) == {"answer_nll", "bits_per_byte", "token_accuracy"}
    assert found["answer_nll"].values == pytest.approx([70 / 40])
    assert found["bits_per_byte"].values == pytest.approx([70 / math.log(2) / 140])
    assert found["token_accuracy"].values == pytest.approx([0.25])
    assert check_task(task) == ()


def test_a_byte_level_tokenizer_counts_every_byte(tmp_path: Path) -> None:
    package = pytest.importorskip("tokenizers")
    content = "Ein Satz über Öl. 数字 und 🙂 mehr.\n" * 30
    made = package.Tokenizer(package.models.BPE())
    made.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = package.pre_tokenizers.ByteLevel.alphabet()
    trainer = package.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([content], trainer)
    made.save(str(tmp_path / "bpe.json"))
    (tmp_path / "text").write_text(content, encoding="utf-8")
    task = Corpus(tmp_path / "text", context=2, level=str(tmp_path / "bpe.json"), held_out=0.5, windows=10**6)
    text = task._text
    ids = np.concatenate([text.train, text.held_out])
    assert ids.tolist() == made.encode(content).ids
    units = {made.id_to_token(i): len(made.id_to_token(i)) for i in ids}  # a character stands for a byte
    tail = [units[made.id_to_token(i)] for i in text.held_out]
    # Where a character is split, the first token has its bytes: sums agree up to one character at the cut.
    assert abs(int(text.held_out_bytes.sum()) - sum(tail)) <= 3


def test_a_mixture_passes_each_task_its_own_text(files: list[Path]) -> None:
    texts = [Corpus(str(file), context=4) for file in (files[0], files[2])]
    mixture = TaskMixture((texts[0], Recall(keys=4, values=4, pairs=2, test_pairs=(2,)), texts[1]))
    assert mixture.files == (str(files[0]), str(files[2]))
    [first, second] = mixture.data
    assert (len(first), len(second)) == (190, 277)
    keys = jax.random.split(jax.random.key(0), 301)
    drawn = jax.jit(jax.vmap(mixture.sample, in_axes=(0, None, None)))(keys, first, second)
    marks = np.asarray(drawn.tokens[:, 0]) - 256
    for which, text in ((0, first), (2, second)):
        for row in np.asarray(drawn.tokens)[marks == which][:, 1:5]:
            assert row.astype(np.uint8).tobytes() in text.tobytes()
    assert set(marks) == {0, 1, 2}
    assert [one.text_bytes is None for one in mixture.evaluation_sets()] == [False, True, False]


def line(make: Any) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the caller reads the message
        make()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("context", 1), ("context", 8.0), ("windows", 0), ("limit", -1), ("held_out", 0.0), ("held_out", 1.0)],
)
def test_fields_out_of_range_are_named(field: str, value: Any) -> None:
    assert line(lambda: Corpus("x", **{field: value})).startswith(f"{field}={value}: must ")


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    assert "path is empty: name a file or folder" in line(lambda: Corpus().data)
    assert "path is empty" in line(lambda: Corpus(()).data)
    assert line(lambda: Corpus(64, "notes.txt")) == "path=64: must be a path"
    missing = Corpus(tmp_path / "none")
    assert line(lambda: missing.data) == f"{tmp_path}/none cannot be read: No such file or directory"
    assert check_task(missing) == (f"{tmp_path}/none cannot be read: No such file or directory",)
    assert missing.vocabulary == 256  # exported members can be loaded where the text is not
    (tmp_path / "empty").write_bytes(b"")
    assert line(lambda: Corpus(tmp_path / "empty").data) == f"{tmp_path}/empty is empty"
    (tmp_path / "short").write_bytes(b"x" * 40)
    short = line(lambda: Corpus(tmp_path / "short", context=64).data)
    assert short.endswith("short: 36 tokens for training are fewer than context=64")
    ends = line(lambda: Corpus(tmp_path / "short", context=8).evaluation_sets())
    assert ends.endswith("short: 4 tokens for the held-out split are fewer than context=8")


def test_bad_tokenizers_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("to be or not " * 20)
    (tmp_path / "latin").write_bytes("né ".encode("latin-1") * 20)

    def read(level: Path, name: str = "text") -> str:
        return line(lambda: Corpus(tmp_path / name, context=4, level=str(level)).data)

    level = tokenizer_file(tmp_path, {"to": 0, "be": 1, "[UNK]": 2}, "[UNK]")
    assert "does not cover the text: 40 of 80 tokens are unknown" in read(level)
    assert "latin is not UTF-8 (byte 1): use level='bytes', or convert it" in read(level, "latin")
    level = tokenizer_file(tmp_path, {"to": 0, "be": 1}, name="known.json")
    assert "cannot encode the text" in read(level)
    package = pytest.importorskip("tokenizers")
    letters = package.Tokenizer(package.models.BPE({letter: i for i, letter in enumerate(" toben")}, []))
    letters.save(str(tmp_path / "letters.json"))
    assert "does not cover the text: it drops 'r';" in read(tmp_path / "letters.json")
    assert "must be 'bytes' or a tokenizer file: byte cannot be read" in read(Path("byte"))
    (tmp_path / "other.json").write_text(json.dumps({"version": 1}))
    assert "other.json is no tokenizer file" in read(tmp_path / "other.json")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert "needs the package tokenizers (pip install 'jaxemerge[text]')" in read(tmp_path / "third.json")


def test_a_limit_may_cut_a_character_of_a_tokenizers_text(tmp_path: Path) -> None:
    level = tokenizer_file(tmp_path, {"né": 0, "to": 1, "n": 2})
    (tmp_path / "plain").write_text("to " * 9 + "né", encoding="utf-8")
    task = Corpus(tmp_path / "plain", context=2, level=str(level), held_out=0.3, limit=29)
    assert task._text.held_out.tolist() == [1, 1, 2]
    assert "not UTF-8" in line(
        lambda: Corpus(_cut(tmp_path / "plain"), context=2, level=str(level), held_out=0.3).data
    )


def _cut(path: Path) -> Path:
    """A copy that ends within a character."""
    other = path.with_name("cut")
    other.write_bytes(path.read_bytes()[:-1])
    return other
