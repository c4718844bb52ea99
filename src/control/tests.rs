use std::io;
use std::sync::Mutex;

use super::*;
use crate::engine::{Output, RuntimeError, Spawned};
use crate::erlang::{CommandLine, Installation, NodeAddress};

/// A server in an image without `erl`.
struct WithoutErl;

#[async_trait]
impl Spawner for WithoutErl {
    async fn locate(&self) -> Result<(Installation, NodeAddress), RuntimeError> {
        Err(RuntimeError::NoErlang("x".into()))
    }

    async fn spawn(&self, _: CommandLine) -> Result<Spawned, RuntimeError> {
        Err(RuntimeError::NoErlang("x".into()))
    }

    async fn output(&self, _: CommandLine, _: Duration) -> Result<Output, RuntimeError> {
        let stdout = "The node n@h is started with status: started\n\
                      ejabberd 26.07 is running in that node\n";
        Ok(Output { code: Some(0), stdout: stdout.into(), stderr: String::new() })
    }
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
    let spawner: Arc<dyn Spawner> = Arc::new(WithoutErl);
    let control = FallbackControl::new(&spawner, vec!["ejabberdctl".into()]);
    for _ in 0..3 {
        assert_eq!(control.version().await.unwrap().to_string(), "26.07");
        assert!(control.is_fallback_active());
        // As each stop and start of the server does.
        control.close().await;
        assert!(!control.is_fallback_active(), "the next image may have an `erl`");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("no `erl` was found").count(), 1, "{log}");
}
