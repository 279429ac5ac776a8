"""The provider `acme` of the kind `llm`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from attrs import define
from attrs.validators import ge, gt, le
from rtvi_plugins import Doc, ProviderError, Secret, action, options, service
from rtvi_plugins.errors import ProviderCategory
from rtvi_plugins.kinds import LLMPiece, LLMRequest, Text, ToolCall, Usage
from rtvi_plugins_vendor import BaseURL, Timeout, VendorHTTP, connect_http, key_check, parameters

#: The faults that Acme reports within an answer.
FAULTS: Mapping[str, ProviderCategory] = {"busy": "rate", "no_credit": "quota"}


@define
class AcmeLLM:
    """A connection to Acme. `fields` are the options that each request has."""

    http: VendorHTTP
    fields: Mapping[str, Any] = {}

    check_key = key_check("v2/models")

    async def respond(self, request: LLMRequest, /) -> AsyncGenerator[LLMPiece]:
        """Stream Acme's answer: text and function calls, and the usage at the end."""
        if request.answer_schema is not None:  # Acme has no field for a schema
            raise ProviderError("acme", "bad-request")
        body = {**self.fields, "turns": list(request.messages), "tools": list(request.functions)}
        async with self.http.stream("POST", "v2/generate", json=body) as response:
            async for event, data in response.json_events():
                match event, data:
                    case "delta", {"content": str(text)}:
                        yield Text(text)
                    case "tool", {"id": str(id), "name": str(name), "input": arguments}:
                        yield ToolCall.parse(id, name, arguments)
                    case "end", {"tokens": [int(tokens_in), int(tokens_out)]}:
                        await response.finish()
                        yield Usage(tokens_in, tokens_out)
                        return
                    case "fault", {"reason": str(reason)}:
                        raise ProviderError("acme", FAULTS.get(reason, "unavailable"))
                    case _:
                        raise ProviderError("acme", "unavailable")
        raise ProviderError("acme", "unavailable")  # half an answer

    async def models(self) -> list[str]:
        """Return the names of the models."""
        match await self.http.get("v2/models"):
            case {"models": [*names]}:
                return [str(each) for each in names]
            case _:
                raise ProviderError("acme", "unavailable")

    async def credit(self) -> float:
        """Return the credit that is left, in dollars."""
        match await self.http.get("v2/account"):
            case {"credit": int(dollars) | float(dollars)}:
                return dollars
            case _:
                raise ProviderError("acme", "unavailable")


@service("llm", "acme", key_page="https://acme.example/keys")
@asynccontextmanager
async def acme_llm(
    api_key: Secret, /, base_url: BaseURL = "https://api.acme.example", timeout: Timeout = 30.0
) -> AsyncGenerator[AcmeLLM]:
    """Acme's chat models."""
    async with connect_http("acme", api_key, base_url=base_url, timeout=timeout, key_header="X-Acme-Key") as http:
        yield AcmeLLM(http)


@options(acme_llm)
def configure(
    llm: AcmeLLM,
    /,
    model: Annotated[Literal["breeze", "storm"] | str, Doc("The model that answers.")] = "breeze",
    temperature: Annotated[float, ge(0), le(1), Doc("The randomness of the answers.")] = 0.5,
    max_tokens: Annotated[Annotated[int, gt(0)] | None, Doc("The longest answer. By default, the model's.")] = None,
) -> None:
    """Set the model, the temperature and the longest answer."""
    llm.fields = parameters({"model": model, "temperature": temperature, "max_tokens": max_tokens})


@action(acme_llm)
async def list_models(llm: AcmeLLM, /) -> list[str]:
    """List the models of this key."""
    return await llm.models()


@action(acme_llm)
async def show_credit(llm: AcmeLLM, /) -> float:
    """Return the credit of this key, in dollars."""
    return await llm.credit()
