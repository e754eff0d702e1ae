//! What the model answers to a conversation.

use std::time::Duration;

use host_model::Usage;

use super::{
    conversation::Conversation,
    script::{Obstacle, Plan},
    tools::{Caller, ToolUse},
};

/// What a worker says, whatever it was told: the script does the work.
const WORKER_SAYS: &str = "ok";

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) text: Option<String>,
    pub(super) call: Option<ToolUse>,
    pub(super) usage: Usage,
    /// How long the model thinks.
    pub(super) delay: Duration,
    /// What is in the way, in order.
    pub(super) obstacles: Vec<Obstacle>,
    /// Place among all answers of the script, from 0; `None` for a worker.
    pub(super) number: Option<usize>,
}

impl Plan {
    /// The answer to a conversation; an error when the script has none.
    pub(super) fn answer(&self, conversation: &Conversation) -> Result<Answer, String> {
        if self.gives_task(&conversation.opening()) {
            return Ok(Answer { text: Some(WORKER_SAYS.into()), ..Answer::default() });
        }
        let place = conversation.place();
        if place.turn >= self.turns.len() {
            let (turn, count) = (place.turn + 1, self.turns.len());
            return Err(format!("turn {turn} was asked for, but the script has {count}"));
        }
        let mut caller = Caller::new(conversation);
        let mut number = 0;
        for (turn, beats) in self.turns.iter().enumerate().take(place.turn + 1) {
            let mut answers = Vec::new();
            for beat in beats {
                let calls = beat.act.as_ref().map(|act| caller.calls(act)).transpose()?.unwrap_or_default();
                let mut calls = calls.into_iter();
                answers.push(Answer {
                    text: beat.text.clone(),
                    call: calls.next(),
                    usage: beat.usage.clone(),
                    delay: beat.delay,
                    obstacles: beat.obstacles.clone(),
                    number: None,
                });
                answers.extend(calls.map(|call| Answer { call: Some(call), ..Answer::default() }));
            }
            if turn < place.turn {
                number += answers.len();
                continue;
            }
            let last = answers.len() - 1;
            let index = place.done.min(last);
            let mut answer = answers.swap_remove(index);
            answer.number = Some(number + index);
            if place.again {
                // The same words, but nothing was used for them by the script.
                (answer.usage, answer.delay) = (Usage::default(), Duration::ZERO);
                answer.obstacles.clear();
            }
            return Ok(answer);
        }
        unreachable!("the turn is one of the script's")
    }
}
