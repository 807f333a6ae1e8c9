"""A model as one attempt sees it."""

import asyncio
import inspect

import pytest
from tests.models.servers import Server

from athlos import Message, Model
from athlos.errors import BudgetError
from athlos.models import Budget, Session

HELLO = [Message("user", "hello")]


def test_it_is_light_and_looks_like_its_model():
    model = Model(name="m", transport=Server(0), sampling={"temperature": 0.5})
    session = model.session("key")
    assert isinstance(session, Session)
    assert (session.name, session.sampling, session.offers_tools) == (
        "m",
        {"temperature": 0.5},
        True,
    )
    assert not hasattr(session, "__dict__")


def test_it_has_the_same_signature_as_the_model():
    assert inspect.signature(Session.chat) == inspect.signature(Model.chat)


def test_its_calls_are_those_of_the_model():
    model = Model(name="m", transport=Server(0))
    reply = asyncio.run(model.session().chat(HELLO, sampling={"max_tokens": 3}))
    assert (reply.message.text, reply.tries, reply.version) == ("hi", 1, None)


def test_its_budget_refuses_and_the_model_alone_has_none():
    model = Model(name="m", transport=Server(0))
    session = model.session("", Budget(max_tokens=20))

    async def main():
        await session.chat(HELLO)
        with pytest.raises(BudgetError):
            await session.chat(HELLO)
        await model.chat(HELLO)

    asyncio.run(main())
    assert session.budget.tokens == 15
