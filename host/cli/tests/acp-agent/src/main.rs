//! Does what each prompt asks for: a word for a stop reason ends the turn with it, `tool` asks for a permission and
//! for things that the client does not offer, and anything else is answered with every kind of update.

use agent_client_protocol::{
    Agent, Client, Error, Result, Stdio,
    v1::{
        ConnectionTo,
        schema::{
            ContentBlock, InitializeRequest, InitializeResponse, NewSessionRequest, NewSessionResponse, PromptRequest,
            PromptResponse, ReadTextFileRequest, RequestPermissionOutcome, RequestPermissionRequest, SessionId,
            SessionModeState, SessionNotification, SetSessionModeRequest, SetSessionModeResponse, StopReason,
        },
    },
};
use serde_json::{Value, from_value, json};

type ToClient = ConnectionTo<Client>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    Agent
        .v1()
        .name("acp-agent")
        .on_receive_request(
            async move |asked: InitializeRequest, responder, _client: ToClient| {
                responder.respond(InitializeResponse::new(asked.protocol_version))
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |asked: NewSessionRequest, responder, _client: ToClient| {
                // The root, which the client says and the agent stands in, is the same.
                assert_eq!(asked.cwd, std::env::current_dir().unwrap());
                let modes = json!({ "currentModeId": "ask", "availableModes": [
                    { "id": "ask", "name": "Ask" }, { "id": "bypassPermissions", "name": "Do" },
                ] });
                responder.respond(NewSessionResponse::new("s-1").modes(typed::<SessionModeState>(modes)?))
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |asked: SetSessionModeRequest, responder, _client: ToClient| {
                eprintln!("mode {}", asked.mode_id);
                responder.respond(SetSessionModeResponse::new())
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |asked: PromptRequest, responder, client: ToClient| {
                // What waits for the client must not keep its answers from being read.
                let to = client.clone();
                client.spawn(async move { responder.respond(PromptResponse::new(turn(&asked, &to).await?)) })
            },
            agent_client_protocol::on_receive_request!(),
        )
        .connect_to(Stdio::new())
        .await
}

async fn turn(asked: &PromptRequest, client: &ToClient) -> Result<StopReason> {
    let words: String = asked
        .prompt
        .iter()
        .filter_map(|block| if let ContentBlock::Text(text) = block { Some(text.text.as_str()) } else { None })
        .collect();
    let session = &asked.session_id;
    say(client, session, &format!("heard {words}"))?;
    match words.as_str() {
        "tool" => use_a_tool(client, session).await?,
        "fail" => return Err(Error::auth_required()),
        reason => {
            if let Ok(reason) = from_value(json!(reason)) {
                return Ok(reason);
            }
            every_update(client, session)?;
        }
    }
    Ok(StopReason::EndTurn)
}

async fn use_a_tool(client: &ToClient, session: &SessionId) -> Result<()> {
    update(
        client,
        session,
        json!({ "sessionUpdate": "tool_call", "toolCallId": "c-1", "title": "Run a command",
        "kind": "execute", "status": "pending", "rawInput": { "command": "true" } }),
    )?;
    let asked = json!({ "sessionId": session, "toolCall": { "toolCallId": "c-1" }, "options": [
        { "optionId": "no", "name": "No", "kind": "reject_once" },
        { "optionId": "yes", "name": "Yes", "kind": "allow_once" },
    ] });
    let answer = client.send_request(typed::<RequestPermissionRequest>(asked)?).block_task().await?;
    let RequestPermissionOutcome::Selected(selected) = answer.outcome else { return Err(Error::internal_error()) };
    // The client has said that it has no files: whoever asks all the same is refused, and goes on.
    let refused = client.send_request(ReadTextFileRequest::new(session.clone(), "/etc/passwd")).block_task().await;
    let output = format!("option {}, files {}", selected.option_id, refused.is_ok());
    update(
        client,
        session,
        json!({ "sessionUpdate": "tool_call_update", "toolCallId": "c-1", "status": "completed",
        "content": [{ "type": "content", "content": { "type": "text", "text": output } }] }),
    )?;
    say(client, session, "used it")
}

/// One of each kind that the library knows and any agent may send.
fn every_update(client: &ToClient, session: &SessionId) -> Result<()> {
    let chunk = |kind: &str| json!({ "sessionUpdate": kind, "content": { "type": "text", "text": "aside" } });
    for told in [
        chunk("user_message_chunk"),
        chunk("agent_thought_chunk"),
        json!({ "sessionUpdate": "plan", "entries": [{ "content": "c", "priority": "low", "status": "pending" }] }),
        json!({ "sessionUpdate": "available_commands_update", "availableCommands": [] }),
        json!({ "sessionUpdate": "current_mode_update", "currentModeId": "ask" }),
        json!({ "sessionUpdate": "session_info_update", "title": "a title" }),
        json!({ "sessionUpdate": "usage_update", "used": 3, "size": 9, "cost": { "amount": 1.5, "currency": "USD" } }),
        json!({ "sessionUpdate": "agent_message_chunk",
            "content": { "type": "resource_link", "name": "n", "uri": "file:///n" } }),
    ] {
        update(client, session, told)?;
    }
    say(client, session, ", told all")
}

fn say(client: &ToClient, session: &SessionId, words: &str) -> Result<()> {
    update(
        client,
        session,
        json!({ "sessionUpdate": "agent_message_chunk",
        "content": { "type": "text", "text": words } }),
    )
}

fn update(client: &ToClient, session: &SessionId, update: Value) -> Result<()> {
    client.send_notification(typed::<SessionNotification>(json!({ "sessionId": session, "update": update }))?)
}

/// What the library makes of `value`: it is the library that decides what goes over the wire.
fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T> {
    from_value(value).map_err(|error| Error::internal_error().data(error.to_string()))
}
