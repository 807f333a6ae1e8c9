"""What a real vLLM says about tokens: the facts that the clients of it count on."""

import json
import threading
import urllib.request

REGEX = (
    "<tool_call>\n"
    r"\{\"name\": \"get_weather\", \"arguments\": \{\"city\": \"(SF|LA)\"\}\}"
    "\n</tool_call>"
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def post(url, path, body):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(
        url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with opener.open(request, timeout=120) as reply:
        return json.load(reply)


def chat(url, **more):
    body = {"model": "tiny", "max_tokens": 8, "seed": 1, "return_token_ids": True, "logprobs": True}
    messages = [{"role": "user", "content": "Say hi."}]
    return post(url, "/v1/chat/completions", {**body, "messages": messages, **more})


def test_a_chat_returns_the_ids_of_the_prompt_and_of_the_completion(vllm_url):
    reply = chat(vllm_url)
    messages = [{"role": "user", "content": "Say hi."}]
    tokens = post(vllm_url, "/tokenize", {"model": "tiny", "messages": messages})["tokens"]
    assert reply["prompt_token_ids"] == tokens
    choice = reply["choices"][0]
    assert len(choice["token_ids"]) == 8 == len(choice["logprobs"]["content"])
    assert choice["finish_reason"] == "length"


def test_generate_takes_tokens_and_returns_tokens(vllm_url):
    prompt = chat(vllm_url)["prompt_token_ids"]
    sampling = {"max_tokens": 8, "seed": 1, "logprobs": 0}
    reply = post(
        vllm_url, "/inference/v1/generate", {"token_ids": prompt, "sampling_params": sampling}
    )
    choice = reply["choices"][0]
    content = choice["logprobs"]["content"]
    assert [token["token_id"] for token in content] == choice["token_ids"]
    assert all(token["logprob"] <= 0 for token in content)
    [span] = choice["weight_versions"]
    assert (span["start"], span["end"]) == (0, 8)


def test_a_forced_tool_call_is_parsed_and_has_its_tokens(vllm_url):
    reply = chat(
        vllm_url,
        max_tokens=128,
        tools=[WEATHER],
        structured_outputs={"regex": REGEX},
    )
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    [call] = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"])["city"] in ("SF", "LA")
    text = post(vllm_url, "/detokenize", {"model": "tiny", "tokens": choice["token_ids"]})["prompt"]
    assert text.startswith('<tool_call>\n{"name": "get_weather"')


def test_tokens_of_a_higher_temperature_have_logprobs_of_it(vllm_url):
    # processed_logprobs: what the sampler used, not what the model said
    options = {"top_logprobs": 2, "max_tokens": 1}
    [cold] = chat(vllm_url, temperature=0.1, **options)["choices"][0]["logprobs"]["content"]
    [warm] = chat(vllm_url, temperature=2.0, **options)["choices"][0]["logprobs"]["content"]
    assert cold["top_logprobs"][0]["logprob"] > warm["top_logprobs"][0]["logprob"] + 1


def test_new_weights_within_a_request_show_in_its_spans(vllm_url):
    body = {
        "token_ids": [2040, 648, 198],
        "sampling_params": {"max_tokens": 1000, "ignore_eos": True},
        "stream": True,
    }
    request = urllib.request.Request(
        vllm_url + "/inference/v1/generate",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    begun, events = threading.Event(), []

    def read():
        with opener.open(request, timeout=120) as reply:
            for line in reply:
                begun.set()
                if line.startswith(b"data: {"):
                    events.append(json.loads(line[6:]))

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(120)
    post(vllm_url, "/pause?mode=keep", {})
    post(vllm_url, "/update_weight_version", {"new_version": "7"})
    post(vllm_url, "/collective_rpc", {"method": "reload_weights"})
    post(vllm_url, "/resume", {})
    reader.join(120)
    post(vllm_url, "/update_weight_version", {"new_version": "default"})
    old, new = events[-1]["choices"][0]["weight_versions"]
    assert (old["version"], old["start"]) == ("default", 0)
    assert (new["version"], new["start"], new["end"]) == ("7", old["end"], 1000)
    assert sum(len(event["choices"][0]["token_ids"]) for event in events) == 1000


def test_a_call_that_is_sent_back_can_have_other_tokens(vllm_url):
    asked = {"messages": [{"role": "user", "content": "Weather?"}], "tools": [WEATHER]}
    first = chat(vllm_url, **asked, max_tokens=128, structured_outputs={"regex": REGEX})
    said = first["choices"][0]["message"]
    call = {"role": "assistant", "content": None, "tool_calls": said["tool_calls"]}
    reply = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "sunny"}
    asked["messages"] = [*asked["messages"], call, reply]
    second = chat(vllm_url, **asked)
    before = first["prompt_token_ids"] + first["choices"][0]["token_ids"]
    assert second["prompt_token_ids"][: len(before)] != before
    texts = [
        post(vllm_url, "/detokenize", {"model": "tiny", "tokens": tokens})["prompt"]
        for tokens in (before, second["prompt_token_ids"])
    ]
    assert texts[1].startswith(texts[0])
