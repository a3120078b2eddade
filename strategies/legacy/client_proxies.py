"""Client proxies that send messages of `DecodeUpdates` in place of what a legacy server would send.

A legacy server hands each client its `FitIns` through a proxy, and hands the `FitRes` that come back to the strategy. A
`DecodingProxy` sends the message that was prepared for its node, and gives back the reply undecoded, in a `FitAnswer`.
Knows Flower's proxies. Does not know how replies are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from surp_fl.errors import MalformedMessage
from surp_fl.flower.protocol import NAME
from surp_fl.strategies.legacy.conversions import OK, evaluate_res_of
from surp_fl.strategies.legacy.flower_types import (
    ClientProxy,
    DisconnectRes,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    ReconnectIns,
)

_Ins = TypeVar("_Ins", FitIns, EvaluateIns)
_Answer = TypeVar("_Answer", "FitAnswer", "EvaluateAnswer")


class FitAnswer(FitRes):
    """A reply to a fit instruction that is not decoded yet: its arrays are, after all replies have come.

    Attributes:
        reply: as it came.
    """

    def __init__(self, reply: Message) -> None:
        self.status, self.num_examples, self.metrics = OK, 0, {}
        self.reply = reply

    def __repr__(self) -> str:
        return f"FitAnswer({self.reply!r})"

    @property
    def parameters(self) -> NoReturn:  # type: ignore[override]
        """There are none yet.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "a reply was read before it was decoded; DecodeLegacyUpdates decodes all replies of a round in its "
            "aggregate_fit: put it outside of all other strategies, and let a Server of your own hand the results of "
            "its clients to strategy.aggregate_fit"
        )


class EvaluateAnswer(EvaluateRes):
    """A reply to an evaluate instruction; its numbers are 0 where the client asks for its model again.

    Attributes:
        reply: as it came.
    """

    def __init__(self, reply: Message) -> None:
        try:
            super().__init__(**vars(evaluate_res_of(reply.content)))
        except MalformedMessage:  # is reported when the replies of the round are aggregated
            super().__init__(OK, 0.0, 0, {})
        self.reply = reply


class AnswerError(ValueError):
    """An error in place of a reply.

    Attributes:
        reply: the error reply that came.
    """

    def __init__(self, reply: Message) -> None:
        super().__init__(f"client {reply.metadata.src_node_id} failed: {reply.error.reason}")
        self.reply = reply


class DecodingProxy(ClientProxy):
    """Sends a prepared message to a client.

    Args:
        proxy: that Flower made for the client.
        ins: the instruction of the inner strategy, which the message replaces.
        message: for this client; its ConfigRecord holds the config of `ins` and the directives.

    Attributes:
        used: whether the server has let it send the message.
    """

    def __init__(self, proxy: ClientProxy, ins: FitIns | EvaluateIns, message: Message) -> None:
        super().__init__(proxy.cid)
        self.node_id = node_of(proxy)
        self.proxy = proxy
        self._ins = ins
        self._message = message
        self.used = False

    def fit(self, ins: FitIns, timeout: float | None, group_id: int | None) -> FitRes:
        """Let the client train; see `FitAnswer`."""
        return self._send(ins, FitAnswer, timeout, group_id)

    def evaluate(self, ins: EvaluateIns, timeout: float | None, group_id: int | None) -> EvaluateRes:
        """Let the client evaluate; see `EvaluateAnswer`."""
        return self._send(ins, EvaluateAnswer, timeout, group_id)

    def _send(
        self, ins: _Ins, answer: Callable[[Message], _Answer], timeout: float | None, group_id: int | None
    ) -> _Answer:
        if type(ins) is not type(self._ins) or ins.parameters is not self._ins.parameters:
            raise RuntimeError(
                f"client {self.cid} is to be sent another model than the strategy configured for it in this round, and "
                "its reply could not be decoded: let the strategy's configure_fit and configure_evaluate give the model"
            )
        self.used = True
        prepared = self._message
        ((name, config),) = prepared.content.config_records.items()
        ours = {key: value for key, value in config.items() if key.startswith(NAME)}
        content = RecordDict({**prepared.content, name: ConfigRecord({**ins.config, **ours})})
        group = "" if group_id is None else str(group_id)
        message = Message(content, self.node_id, prepared.metadata.message_type, ttl=timeout, group_id=group)
        replies = list(grid_of(self.proxy).send_and_receive([message]))
        if len(replies) != 1:
            raise ValueError(f"client {self.cid} sent {len(replies)} replies; expected one")
        if replies[0].has_error():
            raise AnswerError(replies[0])
        return answer(replies[0])

    def get_properties(self, ins: GetPropertiesIns, timeout: float | None, group_id: int | None) -> GetPropertiesRes:
        """As Flower's proxy does."""
        return self.proxy.get_properties(ins, timeout, group_id)

    def get_parameters(self, ins: GetParametersIns, timeout: float | None, group_id: int | None) -> GetParametersRes:
        """As Flower's proxy does."""
        return self.proxy.get_parameters(ins, timeout, group_id)

    def reconnect(self, ins: ReconnectIns, timeout: float | None, group_id: int | None) -> DisconnectRes:
        """As Flower's proxy does."""
        return self.proxy.reconnect(ins, timeout, group_id)


def replies_in(
    proxies: Sequence[DecodingProxy], results: Sequence[tuple[ClientProxy, Any]], failures: Sequence[Any]
) -> tuple[list[Message], list[Any]]:
    """The replies in what the server hands a strategy, and failures that came without a reply.

    Args:
        proxies: that the server was given for this phase.
        results: pairs of proxy and answer.
        failures: exceptions.

    Raises:
        RuntimeError: the server did not use the proxies.
    """
    answers = [result for _, result in results]
    others = [answer for answer in answers if not isinstance(answer, FitAnswer | EvaluateAnswer)]
    if others or ((results or failures) and not any(proxy.used for proxy in proxies)):
        raise RuntimeError(
            f"{len(results)} replies and {len(failures)} failures came past DecodeLegacyUpdates; expected answers of "
            "its proxies: put it outside of all other strategies, and let the server call fit() and evaluate() of the "
            "proxies that configure_fit and configure_evaluate give; DefaultWorkflow does not, so return "
            "ServerAppComponents from server_fn in its place"
        )
    with_reply = [failure for failure in failures if isinstance(failure, AnswerError)]
    lost = [failure for failure in failures if not isinstance(failure, AnswerError)]
    return [answer.reply for answer in [*answers, *with_reply]], lost


def node_of(proxy: ClientProxy) -> int:
    """The id of a client's node; errors as for `grid_of`."""
    grid_of(proxy)
    return int(proxy.node_id)


def grid_of(proxy: ClientProxy) -> Grid:
    """The grid of a client.

    Raises:
        TypeError: it has none: the server was not started by a ServerApp.
    """
    grid: Any = getattr(proxy, "grid", None) or getattr(proxy, "driver", None)
    if grid is None or not hasattr(proxy, "node_id"):
        raise TypeError(
            f"the client is behind a {type(proxy).__name__}, which has no grid to send messages through: run the app "
            "by `flwr run`, with ServerApp(server_fn=...) and ClientApp(client_fn=..., mods=[CompressUpdates(...)]), "
            "in place of start_server and start_simulation"
        )
    return grid  # type: ignore[no-any-return]
