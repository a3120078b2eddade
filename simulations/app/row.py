"""One row of results: the settings of a run and what it measured. A figure that was not measured has no place in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean
from typing import Any

from simulations.app.schemes import Options, parse
from simulations.app.settings import Settings
from simulations.app.training import Score
from simulations.app.workloads.lenet5 import PARAMETERS as LENET_PARAMETERS
from surp_fl.strategies import RoundStats

_DECIMALS = {"accuracy": 6, "loss": 5, "bytes": 4, "seconds": 9, "error": 5}  # an accuracy on 10,000 images has four


@dataclass(frozen=True)
class Row:
    """One scheme and seed. Means are per message.

    Attributes:
        settings: of the run; the dataset by its name.
        accuracy: on the test examples: of the initial model, then after each round that is tested.
        payload_bytes_up_by_round: the mean of each round's messages; in results.json, of all in the trials of a tuning.
        payload_bytes_up: of all messages together.
        payload_bytes_down: the same for messages to clients.
        models_down: how many of these messages brought the whole model.
        change_bytes_down: payload of the others.
        change_record_bytes_down: Flower's count of them.
        loss: mean cross-entropy on the same examples and models; in results.json where models are judged by it.
        parameters: of the model, that are trained.
        failed: why it ended before its last round; empty where it did not.
        payload_bytes_down_by_round: for each client that takes part; the app says it, results.json leaves it out.
        record_bytes_down_by_round: Flower's count of the same.
    """

    settings: Settings
    accuracy: tuple[float, ...]
    payload_bytes_up_mean: float
    payload_bytes_up_max: int
    payload_bytes_up_by_round: tuple[float, ...]
    payload_bytes_up: int
    record_bytes_up_mean: float
    payload_bytes_down: int
    models_down: int
    change_bytes_down: int
    change_record_bytes_down: int
    encode_seconds_mean: float
    decode_seconds_mean: float
    relative_error_mean: float
    failures: int
    model_sha256: str
    failed: str = ""
    coordinates_up_mean: float | None = None  # rows that are older than it have none
    loss: tuple[float, ...] = ()
    parameters: int = LENET_PARAMETERS
    payload_bytes_down_by_round: tuple[float, ...] = ()
    record_bytes_down_by_round: tuple[float, ...] = ()

    @property
    def dense_bytes(self) -> int:
        """Bytes of the trained parameters in float32."""
        return 4 * self.parameters

    @property
    def tested_rounds(self) -> list[int]:
        """The rounds whose models were tested, the initial one's 0 first."""
        return [number for number in range(self.settings.rounds + 1) if self.settings.tested(number)][
            : len(self.accuracy)
        ]

    @property
    def scheme(self) -> str:
        """The scheme's name, without budget and options."""
        return parse(self.settings.scheme)[0]

    @property
    def budget(self) -> int | None:
        """Bytes of a message; None for a scheme without a budget."""
        return parse(self.settings.scheme)[1]

    @property
    def options(self) -> Options:
        """The scheme's other options."""
        return parse(self.settings.scheme)[2]

    def to_json(self) -> dict[str, Any]:
        """Write the settings, with the scheme in its three parts, and what was measured.

        A setting or figure that is 0, empty or false, as it is by default, is left out; bytes that are the same in all
        rounds are written once, others as sums, which are whole numbers. `from_json` undoes all that.
        """
        scheme, budget, options = parse(self.settings.scheme)
        row = {"scheme": scheme, "budget": budget, "options": options}
        row |= {name: getattr(self.settings, name) for name in Settings.of_the_run() if name != "scheme"}
        row |= {each.name: getattr(self, each.name) for each in fields(self) if each.name != "settings"}
        row[_BY_ROUND] = _shortened(self.payload_bytes_up_by_round, self.settings.taking_part)
        return {name: value for name, value in row.items() if value or name not in _UNUSED}

    def kept(self) -> Row:
        """What results.json keeps of the row: no figures by round that no table or plot shows, no digest of a trial."""
        up = self.payload_bytes_up_by_round
        if self.settings.held_out:
            up = (self.payload_bytes_up_mean,) * len(up)
        loss = self.loss if self.settings.kind.metric == "loss" else ()
        return replace(
            self,
            loss=loss,
            model_sha256="" if self.settings.held_out else self.model_sha256,
            payload_bytes_up_by_round=up,
            payload_bytes_down_by_round=(),
            record_bytes_down_by_round=(),
        )

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Row:
        """Read a row; one that is older than a setting was run with that setting's default.

        Raises:
            KeyError, TypeError: it is no row.
        """
        budget = [] if row["budget"] is None else [str(row["budget"])]
        options = [f"{name}={value:g}" for name, value in row.get("options", {}).items()]
        given = {name: row[name] for name in Settings.of_the_run() if name in row}
        settings = Settings(**given | {"scheme": ":".join([row["scheme"], *budget, *options])})
        measured = {each.name: row[each.name] for each in fields(cls) if each.name in row}
        match measured[_BY_ROUND]:
            case {"rounds": rounds, "mean": mean}:
                measured[_BY_ROUND] = [mean] * rounds
            case {"messages": messages, "sums": sums}:
                measured[_BY_ROUND] = [_mean([each / messages], "bytes") for each in sums]
        lists = {name: tuple(value) for name, value in measured.items() if isinstance(value, list)}
        return cls(settings=settings, **measured | lists)


_BY_ROUND = "payload_bytes_up_by_round"
_UNUSED = {each.name for each in (*fields(Settings), *fields(Row)) if not each.default} - {"seed"}  # by default


def _shortened(by_round: tuple[float, ...], messages: int) -> Any:
    """Means of so many messages a round, shorter: one for all, or sums; as they are where neither is exact."""
    if len(by_round) > 1 and len(set(by_round)) == 1:
        return {"rounds": len(by_round), "mean": by_round[0]}
    sums = [round(messages * mean) for mean in by_round]
    exact = all(_mean([each / messages], "bytes") == mean for each, mean in zip(sums, by_round, strict=True))
    return {"messages": messages, "sums": sums} if exact and sums else by_round


def row_of(
    settings: Settings,
    dataset: str,
    parameters: int,
    scores: list[Score],
    traffic: list[RoundStats],
    model_sha256: str,
    failed: str = "",
) -> Row:
    """Put what was measured into a row.

    Args:
        settings: of the run.
        dataset: the name of what was loaded.
        parameters: of the model, that are trained.
        scores: of the initial model, and of each round that is tested.
        traffic: of each round.
        model_sha256: of the final model's arrays.
        failed: why the run ended early.
    """
    payloads = [size for spent in traffic for size in spent.payload_bytes_up]
    down = [
        sizes
        for spent in traffic
        for sizes in zip(spent.whole_models_down, spent.payload_bytes_down, spent.record_bytes_down, strict=True)
    ]
    changes = [(payload, record) for whole, payload, record in down if not whole]
    return Row(
        settings=replace(settings, dataset=dataset),
        accuracy=tuple(round(each.accuracy, _DECIMALS["accuracy"]) for each in scores),
        loss=tuple(round(each.loss, _DECIMALS["loss"]) for each in scores),
        parameters=parameters,
        payload_bytes_up_mean=_mean(payloads, "bytes"),
        payload_bytes_up_max=max(payloads),
        payload_bytes_up_by_round=tuple(_mean(spent.payload_bytes_up, "bytes") for spent in traffic),
        payload_bytes_up=sum(payloads),
        coordinates_up_mean=_mean([count for spent in traffic for count in spent.coordinates_up], "bytes"),
        record_bytes_up_mean=_mean([size for spent in traffic for size in spent.record_bytes_up], "bytes"),
        payload_bytes_down=sum(payload for _, payload, _ in down),
        models_down=len(down) - len(changes),
        change_bytes_down=sum(payload for payload, _ in changes),
        change_record_bytes_down=sum(record for _, record in changes),
        encode_seconds_mean=_mean([time for spent in traffic for time in spent.encode_seconds], "seconds"),
        decode_seconds_mean=_mean([time for spent in traffic for time in spent.decode_seconds], "seconds"),
        relative_error_mean=_mean([error for spent in traffic for error in spent.relative_error], "error"),
        failures=sum(spent.failures for spent in traffic),
        model_sha256=model_sha256,
        failed=failed,
        payload_bytes_down_by_round=tuple(sum(spent.payload_bytes_down) / settings.taking_part for spent in traffic),
        record_bytes_down_by_round=tuple(sum(spent.record_bytes_down) / settings.taking_part for spent in traffic),
    )


def _mean(values: Sequence[float], unit: str) -> float:
    """A mean, as exactly as it means something; whole numbers are written without a point."""
    mean = round(fmean(values), _DECIMALS[unit])
    return int(mean) if mean.is_integer() else mean
