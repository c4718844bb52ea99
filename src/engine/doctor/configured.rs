//! The configuration, as far as it can be judged without the server's help.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::beside::{told, unknown};
use super::{FIRST, asked, within};
use crate::audit;
use crate::doctor::{Checked, Port};
use crate::engine::Engine;
use crate::engine::ports::{ConfigFiles, MAIN_CONFIG};
use crate::erlang::Verdict;
use crate::observed::{Circumstances, ProcessState, Reading};
use crate::rollout;
use crate::spec::{Config, DesiredState, Network, PortMapping, Runtime};

/// ejabberd's check takes half a second, and a container for it as long again,
/// on a host that has nothing else to do.
const CHECK: Duration = Duration::from_secs(15);

impl Engine {
    /// What ejabberd says of the declared configuration and of that on the
    /// server, where that is another; and the text of the latter.
    pub(super) async fn configurations(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        away: Option<&str>,
        wanted: bool,
    ) -> (Option<Reading<Checked>>, Option<Reading<Checked>>, Reading<String>) {
        if let Some(why) = away {
            return (
                desired.config.as_ref().map(|_| unknown(why)),
                Some(unknown(why)),
                unknown(why),
            );
        }
        let paused = super::silence(process)
            .filter(|_| matches!(process, Reading::Known(ProcessState::Running { .. })));
        let declared_files = match &desired.config {
            None => None,
            Some(config) => Some(self.declared_config(config).await),
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
        let text = match &live_files {
            Reading::Known(files) => match files.get(MAIN_CONFIG) {
                Some(text) => Reading::Known(String::from_utf8_lossy(text).into_owned()),
                None => unknown("there is no configuration on the server"),
            },
            Reading::Unknown(why) => unknown(why),
        };
        let differs = match (&live_files, &declared_files) {
            (Reading::Known(live), Some(Ok(files))) if !absent => {
                let changes = rollout::difference(live, files);
                changes.into_iter().map(|change| change.name).collect()
            }
            _ => Vec::new(),
        };
        let same = desired.config.is_some() && differs.is_empty();
        // The two checks beside each other: each takes its time.
        let declared = async {
            match (&declared_files, &desired.config) {
                (Some(Ok(files)), Some(config)) => {
                    Some(self.checked(paused.as_deref(), wanted, file_of(config), files).await)
                }
                (Some(Err(e)), _) => Some(unknown(&format!("failed to {e}"))),
                _ => None,
            }
        };
        let live = async {
            match &live_files {
                Reading::Known(files) if same || files.is_empty() => {
                    // Of one that could not be compared nothing is known.
                    let unread = matches!(declared_files, Some(Err(_)));
                    (unread && !files.is_empty())
                        .then(|| unknown("the declared one cannot be read"))
                }
                Reading::Known(files) => {
                    let path = MAIN_CONFIG.to_owned();
                    Some(match self.checked(paused.as_deref(), wanted, path, files).await {
                        Reading::Known(checked) => Reading::Known(Checked { differs, ..checked }),
                        Reading::Unknown(why) => unknown(&why),
                    })
                }
                Reading::Unknown(why) => Some(unknown(why)),
            }
        };
        let (declared, live) = tokio::join!(declared, live);
        (declared, live, text)
    }

    async fn checked(
        &self,
        silent: Option<&str>,
        wanted: bool,
        path: String,
        files: &ConfigFiles,
    ) -> Reading<Checked> {
        let silent = if wanted { silent } else { Some("it was not asked") };
        asked(silent, CHECK, async {
            match told(self.runtime.check_config(files).await)? {
                Verdict::Accepted => Ok(Checked { path, refused: None, differs: Vec::new() }),
                Verdict::Refused(why) => {
                    Ok(Checked { path, refused: Some(why), differs: Vec::new() })
                }
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
        circumstances: &Reading<Circumstances>,
        text: &Reading<String>,
    ) -> Result<Vec<Port>, String> {
        let declared = match text {
            Reading::Known(text) => audit::declared_listeners(text),
            // Where nothing is on the server yet, what would be.
            Reading::Unknown(why) => match &desired.config {
                Some(config) => match self.declared_config(config).await {
                    Ok(files) => {
                        let main = files.get(MAIN_CONFIG).map(Vec::as_slice).unwrap_or_default();
                        audit::declared_listeners(&String::from_utf8_lossy(main))
                    }
                    Err(e) => Err(format!("failed to {e}")),
                },
                None => Err(why.clone()),
            },
        };
        let bridge: Option<Vec<(SocketAddr, u16)>> = match &desired.server.runtime {
            Runtime::Docker(docker) if docker.network == Network::Bridge => {
                let there = !matches!(process, Reading::Known(ProcessState::Absent));
                Some(match circumstances.known().filter(|_| there) {
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
                        !listener.udp && listener.at.is_some_and(|at| at.port() == port)
                    });
                    found.map_or_else(|| "published".to_owned(), |listener| listener.module.clone())
                };
                published.into_iter().map(|(at, port)| (at, module(port))).collect()
            }
            None => declared?
                .into_iter()
                .filter(|listener| !listener.udp)
                .filter_map(|listener| Some((listener.at?, listener.module)))
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
