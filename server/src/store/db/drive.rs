//! Runs a future on the thread that calls, for a thread whose waits are mostly as short as one SQL statement.
//!
//! A thread that sleeps costs two switches and, on a virtual machine, the wait until its processor is given back: several
//! times what a small statement takes. So the thread looks again for a moment before it sleeps. It gives its processor up
//! at each look, so that nobody who has work waits for it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;
use std::thread;
use std::thread::Thread;
use std::time::Duration;
use std::time::Instant;

/// How long the thread looks before it sleeps. A statement that takes longer is not delayed by a sleep that anybody notices.
const LOOKS: Duration = Duration::from_micros(60);

struct Alarm {
    thread: Thread,
    rang: AtomicBool,
    sleeps: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        // The thread announces its sleep before it looks for the last time, so one of the two sees the other.
        if self.sleeps.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

/// Runs the future to its end.
pub(super) fn to_its_end<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm {
        thread: thread::current(),
        rang: AtomicBool::new(false),
        sleeps: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let until = Instant::now() + LOOKS;
        while !alarm.rang.swap(false, Ordering::SeqCst) {
            if Instant::now() < until {
                thread::yield_now();
                continue;
            }
            alarm.sleeps.store(true, Ordering::SeqCst);
            while !alarm.rang.load(Ordering::SeqCst) {
                thread::park();
            }
            alarm.sleeps.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::to_its_end;

    #[test]
    fn every_wake_is_noticed_whether_the_thread_looks_or_sleeps() {
        let (sent, mut received) = mpsc::unbounded_channel();
        let sender = thread::spawn(move || {
            for number in 0..2_000_u32 {
                // Around the moment at which the receiver goes to sleep, and long after it.
                thread::sleep(Duration::from_micros(u64::from(number % 100)));
                sent.send(number).expect("the receiver waits for all of them");
            }
        });
        let all = to_its_end(async move {
            let mut all = Vec::new();
            while let Some(number) = received.recv().await {
                all.push(number);
            }
            all
        });
        assert_eq!(all, (0..2_000).collect::<Vec<_>>());
        sender.join().expect("the sender ended");
    }
}
