use std::io;
use std::sync::Mutex;

use super::*;

/// A server in an image without `erl`.
struct WithoutErl;

#[async_trait]
impl Control for WithoutErl {
    async fn call(&self, _: Call, _: Duration) -> Result<Value, ControlError> {
        Err(ControlError::NO_ERLANG)
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        Err(ControlError::NO_ERLANG)
    }

    async fn close(&self) {}
}

struct Answering;

#[async_trait]
impl Control for Answering {
    async fn call(&self, _: Call, _: Duration) -> Result<Value, ControlError> {
        Err(ControlError::Timeout("status"))
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        Ok(ServerVersion::parse("26.07").unwrap())
    }

    async fn close(&self) {}
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_fallback_is_reported_once_however_often_the_channel_is_closed() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let control = FallbackControl::new(Arc::new(WithoutErl), Arc::new(Answering));
    for _ in 0..3 {
        assert_eq!(control.version().await.unwrap().to_string(), "26.07");
        assert!(control.is_fallback_active());
        // Each stop and start of the server closes the channel.
        control.close().await;
        assert!(!control.is_fallback_active(), "the next image may have an `erl`");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("no `erl` was found").count(), 1, "{log}");
}
