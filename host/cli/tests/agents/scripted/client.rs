//! The smallest agent: a conversation over plain HTTP, in each of the three interfaces.

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use host_testing::model_server::{Api, ModelServer, Session};

/// What came back for one request.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
    /// The connection ended before the body did.
    pub(crate) broken: bool,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The data of a stream's events, without the end mark.
    pub(crate) fn events(&self) -> Vec<Value> {
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

/// Posts `body`. An error means that there was no answer at all.
pub(crate) async fn post(url: &str, body: &Value) -> Result<Got, hyper::Error> {
    let (address, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(format!("/{path}"))
        .header("host", address)
        .header("x-api-key", "a-key")
        .body(Full::<Bytes>::from(body.to_string()))
        .unwrap();
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let mut body = response.into_body();
    let (mut bytes, mut broken) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap_or_default()),
            Err(_) => broken = true,
        }
        if broken {
            break;
        }
    }
    drop(sender);
    drop(connection.await);
    Ok(Got { status, retry_after, text: String::from_utf8(bytes).unwrap(), broken })
}

/// An agent with one tool.
pub(crate) struct Agent {
    pub(crate) api: Api,
    pub(crate) stream: bool,
    pub(crate) url: String,
    pub(crate) tools: Vec<&'static str>,
    /// As the interface wants it.
    pub(crate) history: Vec<Value>,
}

/// What one turn showed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Turn {
    pub(crate) texts: Vec<String>,
    pub(crate) calls: Vec<(String, Value)>,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
}

impl Agent {
    pub(crate) fn new(server: &ModelServer, session: &Session<'_>, api: Api, stream: bool) -> Self {
        let end = match api {
            Api::Messages => "/v1/messages",
            Api::Responses => "/v1/responses",
            Api::Chat => "/v1/chat/completions",
        };
        let url = format!("{}{end}", server.url(session));
        Self { api, stream, url, tools: vec!["bash"], history: Vec::new() }
    }

    /// Says `message`, and calls tools until the model ends the turn. An error is an answer that is none.
    pub(crate) async fn turn(
        &mut self,
        message: &str,
        mut tool: impl FnMut(&str, &Value) -> String,
    ) -> Result<Turn, Got> {
        self.history.push(json!({ "role": "user", "content": message }));
        let mut turn = Turn::default();
        loop {
            let got = self.ask().await.expect("an answer");
            if got.status != 200 || got.broken {
                return Err(got);
            }
            let said = self.understand(&got);
            turn.input_tokens += said.input_tokens;
            turn.output_tokens += said.output_tokens;
            turn.texts.extend(said.texts);
            let Some((name, input)) = said.calls.into_iter().next() else { return Ok(turn) };
            let output = tool(&name, &input);
            self.answer(&output);
            turn.calls.push((name, input));
        }
    }

    /// Sends the conversation as it is.
    pub(crate) async fn ask(&self) -> Result<Got, hyper::Error> {
        let tools: Vec<Value> = self.tools.iter().map(|name| self.declared(name)).collect();
        let history = if self.api == Api::Responses { "input" } else { "messages" };
        let mut body = json!({ "model": "m", "stream": self.stream, "tools": tools });
        body[history] = json!(self.history);
        post(&self.url, &body).await
    }

    fn declared(&self, name: &str) -> Value {
        match self.api {
            Api::Messages => json!({ "name": name, "input_schema": {} }),
            Api::Responses => json!({ "type": "function", "name": name }),
            Api::Chat => json!({ "type": "function", "function": { "name": name } }),
        }
    }

    /// Understands an answer, and adds it to the conversation.
    fn understand(&mut self, got: &Got) -> Turn {
        let whole = if self.stream { gathered(self.api, &got.events()) } else { got.json() };
        let mut turn = Turn::default();
        let usage = &whole["usage"];
        let tokens = |names: [&str; 2]| names.iter().find_map(|name| usage[*name].as_u64()).unwrap();
        turn.input_tokens = tokens(["input_tokens", "prompt_tokens"]);
        turn.output_tokens = tokens(["output_tokens", "completion_tokens"]);
        let parsed = |arguments: &Value| serde_json::from_str(arguments.as_str().unwrap()).unwrap();
        match self.api {
            Api::Messages => {
                for block in whole["content"].as_array().unwrap() {
                    match block["type"].as_str().unwrap() {
                        "text" => turn.texts.push(block["text"].as_str().unwrap().into()),
                        _ => turn.calls.push((block["name"].as_str().unwrap().into(), block["input"].clone())),
                    }
                }
                self.history.push(json!({ "role": "assistant", "content": whole["content"] }));
            }
            Api::Responses => {
                for item in whole["output"].as_array().unwrap() {
                    match item["type"].as_str().unwrap() {
                        "message" => turn.texts.push(item["content"][0]["text"].as_str().unwrap().into()),
                        _ => turn.calls.push((item["name"].as_str().unwrap().into(), parsed(&item["arguments"]))),
                    }
                    self.history.push(item.clone());
                }
            }
            Api::Chat => {
                let message = &whole["choices"][0]["message"];
                let text = message["content"].as_str().unwrap_or_default();
                turn.texts.extend((!text.is_empty()).then(|| text.to_owned()));
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let function = &call["function"];
                    turn.calls.push((function["name"].as_str().unwrap().into(), parsed(&function["arguments"])));
                }
                self.history.push(message.clone());
            }
        }
        turn
    }

    /// Adds the result of the last call.
    fn answer(&mut self, output: &str) {
        let last = self.history.last().unwrap().clone();
        self.history.push(match self.api {
            Api::Messages => {
                let id = &last["content"].as_array().unwrap().last().unwrap()["id"];
                let result = json!({ "type": "tool_result", "tool_use_id": id, "content": output });
                json!({ "role": "user", "content": [result] })
            }
            Api::Responses => {
                json!({ "type": "function_call_output", "call_id": last["call_id"], "output": output })
            }
            Api::Chat => json!({ "role": "tool", "tool_call_id": last["tool_calls"][0]["id"], "content": output }),
        });
    }
}

/// A stream, as the same answer would have been in one piece.
fn gathered(api: Api, events: &[Value]) -> Value {
    match api {
        Api::Messages => {
            let mut message = events[0]["message"].clone();
            let (mut blocks, mut json): (Vec<Value>, String) = (Vec::new(), String::new());
            for event in events {
                match event["type"].as_str().unwrap() {
                    "content_block_start" => blocks.push(event["content_block"].clone()),
                    "content_block_delta" => {
                        let (block, delta) = (blocks.last_mut().unwrap(), &event["delta"]);
                        match delta["text"].as_str() {
                            Some(text) => block["text"] = json!(block["text"].as_str().unwrap().to_owned() + text),
                            None => json.push_str(delta["partial_json"].as_str().unwrap()),
                        }
                    }
                    "content_block_stop" if !json.is_empty() => {
                        blocks.last_mut().unwrap()["input"] = serde_json::from_str(&json).unwrap();
                        json.clear();
                    }
                    "message_delta" => message["usage"]["output_tokens"] = event["usage"]["output_tokens"].clone(),
                    _ => {}
                }
            }
            message["content"] = json!(blocks);
            message
        }
        Api::Responses => {
            let last = events.last().unwrap();
            assert_eq!(last["type"], "response.completed");
            let texts = events.iter().filter(|event| event["type"] == "response.output_text.delta");
            let told: String = texts.map(|event| event["delta"].as_str().unwrap()).collect();
            let output = last["response"]["output"].as_array().unwrap();
            let message = output.iter().find_map(|item| item["content"][0]["text"].as_str());
            assert_eq!(message.unwrap_or_default(), told);
            last["response"].clone()
        }
        Api::Chat => {
            let (mut text, mut calls) = (String::new(), Value::Null);
            for delta in events.iter().map(|event| &event["choices"][0]["delta"]) {
                text.push_str(delta["content"].as_str().unwrap_or_default());
                if delta["tool_calls"].is_array() {
                    calls = delta["tool_calls"].clone();
                }
            }
            let message = json!({ "role": "assistant", "content": text, "tool_calls": calls });
            json!({ "choices": [{ "message": message }], "usage": events.last().unwrap()["usage"] })
        }
    }
}
