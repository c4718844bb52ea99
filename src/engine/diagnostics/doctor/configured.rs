//! The configuration, as far as it can be judged without the server's help.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::beside::{told, unknown};
use super::{FIRST, asked, within};
use crate::domain::checks::doctor::{Checked, Port};
use crate::domain::configuration::{Configuration, Transport};
use crate::domain::observed::{ProcessState, Reading, RuntimeDiagnostics};
use crate::domain::rollout;
use crate::domain::rollout::Snapshot;
use crate::domain::spec::{Config, DesiredState, Network, PortMapping, Runtime};
use crate::ejabberd::erlang::Verdict;
use crate::engine::diagnostics::Diagnostics;
use crate::engine::ports::{ConfigFiles, MAIN_CONFIG};

/// ejabberd's check takes half a second, and a container for it as long again,
/// on a host that has nothing else to do.
const CHECK: Duration = Duration::from_secs(15);

/// The evidence about the configurations of a server.
pub(super) struct Configurations {
    /// What ejabberd says of the declared one; `None` where none is declared.
    pub(super) declared: Option<Reading<Checked>>,
    /// What it says of the one on the server; `None` where that is the declared one.
    pub(super) live: Option<Reading<Checked>>,
    /// The one on the server, or where there is none the declared one, as ejabberd reads it.
    pub(super) read: Reading<Configuration>,
}

/// A verdict as it is shown.
fn shown(
    path: String,
    verdict: Reading<Result<Configuration, String>>,
    differs: Vec<String>,
) -> Reading<Checked> {
    match verdict {
        Reading::Known(verdict) => {
            Reading::Known(Checked { path, refused: verdict.err(), differs })
        }
        Reading::Unknown(why) => unknown(&why),
    }
}

fn expanded(verdict: &Reading<Result<Configuration, String>>) -> Option<&Configuration> {
    verdict.known()?.as_ref().ok()
}

impl Diagnostics {
    /// What ejabberd says of the declared configuration and of that on the
    /// server, where that is another; and the latter as ejabberd reads it.
    pub(super) async fn configurations(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        away: Option<&str>,
        wanted: bool,
    ) -> Configurations {
        if let Some(why) = away {
            return Configurations {
                declared: desired.config.as_ref().map(|_| unknown(why)),
                live: Some(unknown(why)),
                read: unknown(why),
            };
        }
        let paused = super::silence(process)
            .filter(|_| matches!(process, Reading::Known(ProcessState::Running { .. })));
        let declared_files = match &desired.config {
            None => None,
            Some(config) => Some(self.configs.declared_config(config).await),
        };
        let mut names: BTreeSet<String> = BTreeSet::from([MAIN_CONFIG.to_owned()]);
        if let Some(Ok(files)) = &declared_files {
            names.extend(files.keys().cloned());
        }
        let names: Vec<String> = names.into_iter().collect();
        let absent = matches!(process, Reading::Known(ProcessState::Absent));
        let live_files = if absent {
            Reading::Known(ConfigFiles::new())
        } else {
            within(FIRST, async { told(self.runtime.read_config(&names).await) }).await
        };
        let same = match (&live_files, &declared_files) {
            (Reading::Known(live), Some(Ok(files))) => absent || live == files,
            _ => false,
        };
        // The server itself knows best; where it does not answer, the offline check reads its files.
        let answered = asked(super::silence(process).as_deref(), FIRST, async {
            self.server.configuration().await.map_err(|e| format!("failed to {e}"))
        })
        .await;
        let unread = matches!(answered, Reading::Unknown(_));
        // The two checks beside each other: each takes its time.
        let declared = async {
            match (&declared_files, &desired.config) {
                (Some(Ok(files)), Some(config)) => {
                    let wanted = wanted || (same && unread);
                    Some((file_of(config), self.checked(paused.as_deref(), wanted, files).await))
                }
                (Some(Err(e)), Some(config)) => {
                    Some((file_of(config), unknown(&format!("failed to {e}"))))
                }
                _ => None,
            }
        };
        let live = async {
            match &live_files {
                Reading::Known(files) if same || files.is_empty() => None,
                Reading::Known(files) => {
                    Some(self.checked(paused.as_deref(), wanted || unread, files).await)
                }
                Reading::Unknown(why) => Some(unknown(why)),
            }
        };
        let (declared, live) = tokio::join!(declared, live);
        let of_declared = declared.as_ref().map(|(_, verdict)| verdict);
        // Where the server has no other one, the declared one is the one on it.
        let read = match (&answered, live.as_ref().or(of_declared)) {
            (Reading::Known(configuration), _) => Reading::Known(configuration.clone()),
            (_, Some(Reading::Known(Ok(read)))) => Reading::Known(read.clone()),
            (_, Some(Reading::Known(Err(why)))) => unknown(&format!("ejabberd refuses it: {why}")),
            (_, Some(Reading::Unknown(why))) => unknown(why),
            (_, None) => unknown("there is no configuration on the server"),
        };
        let differs = match (&live_files, &declared_files) {
            (Reading::Known(before), Some(Ok(after))) if !absent => rollout::difference(
                Snapshot { files: before, expanded: read.known() },
                Snapshot { files: after, expanded: of_declared.and_then(expanded) },
                None,
            )
            .into_iter()
            .map(|change| change.name)
            .collect(),
            _ => Vec::new(),
        };
        let unread_declared = matches!(declared_files, Some(Err(_)));
        Configurations {
            live: match live {
                None if unread_declared && live_files.known().is_some_and(|f| !f.is_empty()) => {
                    Some(unknown("the declared one cannot be read"))
                }
                None => None,
                Some(verdict) => Some(shown(MAIN_CONFIG.to_owned(), verdict, differs)),
            },
            declared: declared.map(|(path, verdict)| shown(path, verdict, Vec::new())),
            read,
        }
    }

    async fn checked(
        &self,
        silent: Option<&str>,
        wanted: bool,
        files: &ConfigFiles,
    ) -> Reading<Result<Configuration, String>> {
        let silent = if wanted { silent } else { Some("it was not asked") };
        asked(silent, CHECK, async {
            let context = self.configs.start_context().await;
            match told(self.runtime.check_config(files, &context).await)? {
                Verdict::Accepted(configuration) => Ok(Ok(*configuration)),
                Verdict::Refused(why) => Ok(Err(why)),
                Verdict::Unable(why) => Err(format!("ejabberd could not be asked: {why}")),
            }
        })
        .await
    }

    /// Where the server listens, as others on this host see it, and who else does.
    pub(super) async fn ports_of(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        diagnostics: &Reading<RuntimeDiagnostics>,
        read: &Reading<Configuration>,
    ) -> Result<Vec<Port>, String> {
        let declared = match read {
            Reading::Known(configuration) => configuration.listeners(),
            Reading::Unknown(why) => Err(why.clone()),
        };
        let bridge: Option<Vec<(SocketAddr, u16)>> = match &desired.server.runtime {
            Runtime::Docker(docker) if docker.network == Network::Bridge => {
                let there = !matches!(process, Reading::Known(ProcessState::Absent));
                Some(match diagnostics.known().filter(|_| there) {
                    Some(around) => around.published.clone(),
                    None => {
                        let ports = docker.ports.iter();
                        let at = |p: &PortMapping| SocketAddr::new(p.address, p.host_port);
                        ports.map(|port| (at(port), port.container_port)).collect()
                    }
                })
            }
            _ => None,
        };
        let wanted: Vec<(SocketAddr, String)> = match bridge {
            Some(published) => {
                let module = |port: u16| {
                    let found = declared.iter().flatten().find(|listener| {
                        listener.transport == Transport::Tcp
                            && listener.at().is_some_and(|at| at.port() == port)
                    });
                    found.map_or("published", |listener| listener.module).to_owned()
                };
                published.into_iter().map(|(at, port)| (at, module(port))).collect()
            }
            None => declared?
                .into_iter()
                .filter(|listener| listener.transport == Transport::Tcp)
                .filter_map(|listener| Some((listener.at()?, listener.module.to_owned())))
                .collect(),
        };
        let numbers: Vec<u16> = wanted.iter().map(|(at, _)| at.port()).collect();
        let holders = told(self.runtime.holders(&numbers).await)?;
        let ports = wanted.into_iter().map(|(at, module)| {
            let holders = holders.iter().filter(|holder| clash(holder.at, at)).cloned().collect();
            Port { at, module, open: None, holders }
        });
        Ok(ports.collect())
    }
}

/// Whether two cannot listen at these places at once.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}

fn file_of(config: &Config) -> String {
    let path = config.variants.get(&config.variant);
    path.map_or_else(|| config.variant.clone(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_clash_on_the_same_port_alone() {
        let at = |text: &str| text.parse().unwrap();
        assert!(clash(at("0.0.0.0:5222"), at("127.0.0.1:5222")));
        assert!(clash(at("127.0.0.1:5222"), at("[::]:5222")));
        assert!(clash(at("127.0.0.1:5222"), at("127.0.0.1:5222")));
        assert!(!clash(at("127.0.0.2:5222"), at("127.0.0.1:5222")));
        assert!(!clash(at("0.0.0.0:5223"), at("127.0.0.1:5222")));
    }
}
