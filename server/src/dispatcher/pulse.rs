//! Proof that the dispatcher's loop still runs: a question is answered by a whole pass that began
//! after it.

use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(super) struct Pulse {
    asked: watch::Sender<u64>,
    answered: watch::Sender<u64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { asked: watch::Sender::new(0), answered: watch::Sender::new(0) }
    }
}

impl Pulse {
    /// Returns once a pass that began after this call has ended; never, if no pass ends.
    pub(super) async fn probe(&self) {
        let mut answered = self.answered.subscribe();
        let mut question = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            question = *asked;
        });
        // This very value holds the sender, so it is there.
        drop(answered.wait_for(|answered| *answered >= question).await);
    }

    /// The questions, for the loop, which reads the value before a pass and answers it afterwards.
    pub(super) fn questions(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Records that a pass has ended that began when this was the last question. Errors do not
    /// matter: a loop that meets errors still runs.
    pub(super) fn answer(&self, question: u64) {
        self.answered.send_replace(question);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_pass_that_began_after_the_question_answers_it() {
        let pulse = Pulse::default();
        let questions = pulse.questions();
        let before = *questions.borrow();
        let probe = pulse.probe();
        tokio::pin!(probe);
        tokio::select! {
            biased;
            () = &mut probe => panic!("nobody answered"),
            () = std::future::ready(()) => {}
        }
        pulse.answer(before);
        tokio::select! {
            biased;
            () = &mut probe => panic!("that pass began earlier"),
            () = std::future::ready(()) => {}
        }
        pulse.answer(*questions.borrow());
        probe.await;
    }
}
