//! Attacks on a whole session. After each attack, the next call opens a new session with an honest
//! Erlang program.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ejabberd_operator::adapters::session::Session;
use ejabberd_operator::ejabberd::{Arg, Call, Control, ControlError};
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::corpus::frames;
use crate::far_end::{FarEnds, READY, answer, calls, honest, version};
use crate::peak_mebibytes;

/// Returns a session whose first Erlang program does `attack` after the request for the version.
/// The later programs are honest.
fn session<F>(attack: impl Fn(DuplexStream) -> F + Send + Sync + 'static) -> (Session, Arc<FarEnds>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let attack = Arc::new(attack);
    let far_ends = Arc::new(FarEnds::new(move |number, mut pipe| {
        let attack = Arc::clone(&attack);
        async move {
            if number > 0 {
                return honest(pipe).await;
            }
            pipe.write_all(READY).await.unwrap();
            calls(&mut pipe).await;
            attack(pipe).await;
        }
    }));
    (Session::new(Arc::clone(&far_ends) as _), far_ends)
}

fn get_cwd() -> Call {
    Call::function("file", "get_cwd", vec![Arg::Int(1)])
}

/// Checks that the first call fails as an outage, and that the next call gets a response.
async fn recovers(name: &str, session: &Session) {
    let first = tokio::time::timeout(Duration::from_mins(2), session.version()).await;
    let error = first.unwrap_or_else(|_| panic!("{name}: no end")).unwrap_err();
    assert!(error.is_outage(), "{name}: {error}");
    assert_eq!(session.version().await.unwrap().to_string(), "26.07", "{name}");
    session.call(get_cwd(), Duration::from_secs(5)).await.unwrap_or_else(|e| panic!("{name}: {e}"));
}

#[tokio::test(start_paused = true)]
async fn a_session_survives_every_refused_frame() {
    for frame in frames("refused") {
        let bytes = frame.bytes.clone();
        let (session, far_ends) = session(move |mut pipe| {
            let bytes = bytes.clone();
            async move {
                answer(&mut pipe, &bytes).await;
                // The program keeps the pipe open, so that only the frame can end the session.
                while calls(&mut pipe).await.is_some() {}
            }
        });
        recovers(&frame.name, &session).await;
        assert_eq!(far_ends.started.load(Ordering::Relaxed), 2, "{}", frame.name);
    }
    // The limit covers the frame, its growing buffer, and the corpus.
    assert!(peak_mebibytes() < 200, "{} MiB", peak_mebibytes());
}

#[tokio::test(start_paused = true)]
async fn a_session_survives_every_frame_that_is_a_term() {
    for frame in frames("taken") {
        let bytes = frame.bytes.clone();
        let (session, _) = session(move |mut pipe| {
            let bytes = bytes.clone();
            async move {
                answer(&mut pipe, &bytes).await;
                while calls(&mut pipe).await.is_some() {
                    answer(&mut pipe, &bytes).await;
                }
            }
        });
        let limit = Duration::from_mins(2);
        let first = tokio::time::timeout(limit, session.version()).await.unwrap();
        if let Err(error) = first {
            let text = error.to_string();
            assert!(text.len() < 5000, "{}: {} bytes", frame.name, text.len());
            assert!(!text.contains(char::is_control), "{}: {text:?}", frame.name);
        }
        session.close().await;
        assert_eq!(session.version().await.unwrap().to_string(), "26.07", "{}", frame.name);
    }
    assert!(peak_mebibytes() < 200, "{} MiB", peak_mebibytes());
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_frame_ends_its_session() {
    for announced in [u32::MAX, 64 << 20, (64 << 20) + 1, 1 << 31, 5] {
        let (session, _) = session(move |mut pipe| async move {
            let _ = pipe.write_u32(announced).await;
            while calls(&mut pipe).await.is_some() {}
        });
        recovers(&format!("{announced} bytes"), &session).await;
    }
    assert!(peak_mebibytes() < 100, "{} MiB", peak_mebibytes());
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_a_byte_at_a_time_ends_its_session() {
    let (session, _) = session(|mut pipe| async move {
        let _ = pipe.write_u32(1 << 20).await;
        while pipe.write_u8(0).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    recovers("a byte a second", &session).await;
}

#[tokio::test]
async fn an_endless_stream_of_zeros_ends_its_session() {
    let (session, _) = session(|mut pipe| async move {
        let zeros = vec![0; 64 << 10];
        while pipe.write_all(&zeros).await.is_ok() {}
    });
    recovers("zeros", &session).await;
    assert!(peak_mebibytes() < 100, "{} MiB", peak_mebibytes());
}

#[tokio::test(start_paused = true)]
async fn responses_to_unknown_calls_end_the_session() {
    for id in [1, 200] {
        let (session, _) = session(move |mut pipe| async move {
            answer(&mut pipe, &version(id)).await;
            while calls(&mut pipe).await.is_some() {}
        });
        recovers(&format!("call {id}"), &session).await;
    }
}

#[tokio::test(start_paused = true)]
async fn more_responses_than_calls_end_the_session() {
    let (session, far_ends) = session(|mut pipe| async move {
        answer(&mut pipe, &version(0)).await;
        for id in 1.. {
            // The duplicate of the first response counts as a response to the second call.
            answer(&mut pipe, &version(0)).await;
            answer(&mut pipe, &version(id)).await;
            if calls(&mut pipe).await.is_none() {
                return;
            }
        }
    });
    assert_eq!(session.version().await.unwrap().to_string(), "26.07");
    tokio::time::sleep(Duration::from_secs(1)).await;
    session.call(get_cwd(), Duration::from_secs(5)).await.unwrap();
    assert_eq!(far_ends.started.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_response_and_responses_in_another_order_are_accepted() {
    let (session, far_ends) = session(|mut pipe| async move {
        answer(&mut pipe, &version(0)).await;
        let first = calls(&mut pipe).await;
        assert!(first.is_some());
        calls(&mut pipe).await;
        answer(&mut pipe, &version(2)).await;
        // The caller has given up.
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer(&mut pipe, &version(1)).await;
        honest_after(pipe, 3).await;
    });
    session.version().await.unwrap();
    let impatient = tokio::time::timeout(
        Duration::from_millis(50),
        session.call(get_cwd(), Duration::from_secs(5)),
    );
    impatient.await.unwrap_err();
    session.call(get_cwd(), Duration::from_secs(5)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    session.call(get_cwd(), Duration::from_secs(5)).await.unwrap();
    assert_eq!(far_ends.started.load(Ordering::Relaxed), 1);
}

async fn honest_after(mut pipe: DuplexStream, next: u8) {
    for id in next.. {
        if calls(&mut pipe).await.is_none() {
            return;
        }
        answer(&mut pipe, &version(id)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_fails_if_the_program_never_becomes_ready() {
    for byte in [b'x', b'\n', 0, b'e'] {
        let far_ends = Arc::new(FarEnds::new(move |_, mut pipe: DuplexStream| async move {
            while pipe.write_u8(byte).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }));
        let session = Session::new(far_ends as _);
        let error = session.version().await.unwrap_err();
        assert!(matches!(error, ControlError::CannotOpen(_)), "{error}");
        let text = error.to_string();
        assert!(text.len() < 5000 && !text.contains(char::is_control), "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_of_a_broken_session_all_get_an_outage() {
    let (session, _) = session(|mut pipe| async move {
        answer(&mut pipe, &version(0)).await;
        calls(&mut pipe).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer(&mut pipe, &[131, b'R', 0]).await;
        while calls(&mut pipe).await.is_some() {}
    });
    session.version().await.unwrap();
    let callers = (0..40).map(|_| session.call(get_cwd(), Duration::from_secs(5)));
    for answer in futures_util::future::join_all(callers).await {
        let error = answer.unwrap_err();
        assert!(error.is_outage(), "{error}");
    }
    session.call(get_cwd(), Duration::from_secs(5)).await.unwrap();
}
