//! Where a configuration has the server listen, for whoever looks for a fault.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::config::{Config, truth};

/// A listener, as its file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// What answers there.
    pub module: String,
    /// Where; of several ports the first. Nothing for a Unix socket.
    pub at: Option<SocketAddr>,
    /// Whether it is UDP.
    pub udp: bool,
    /// Whether it speaks TLS from the first byte.
    pub tls: bool,
    /// Whether it waits for a header of the PROXY protocol first.
    pub proxied: bool,
    /// The path of an HTTP API there.
    pub api: Option<String>,
}

/// The listeners of a configuration.
pub fn declared_listeners(text: &str) -> Result<Vec<Declared>, String> {
    let config = Config::parse(text)?;
    let listeners = config.listeners()?;
    let declared = listeners.iter().map(|listener| {
        let ip = listener.options.get("ip").and_then(serde_json::Value::as_str);
        let ip: IpAddr = match ip {
            None => Ipv4Addr::UNSPECIFIED.into(),
            Some(ip) => ip
                .trim_matches(['[', ']'])
                .parse()
                .map_err(|_| format!("the address of {} is not understood", listener.place()))?,
        };
        let handlers = listener.options.get("request_handlers").and_then(|h| h.as_object());
        let on = |name| listener.options.get(name).and_then(truth) == Some(true);
        let api = handlers.into_iter().flatten().find(|(_, module)| *module == "mod_http_api");
        Ok(Declared {
            module: listener.module.to_owned(),
            at: listener.ports.as_ref().map(|ports| SocketAddr::new(ip, *ports.start())),
            udp: listener.udp,
            tls: on("tls"),
            proxied: on("use_proxy_protocol"),
            api: api.map(|(path, _)| path.clone()),
        })
    });
    declared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_with_their_api() {
        let text = include_str!("../../manifests/ejabberd/ejabberd-hardened.yml");
        let found = declared_listeners(text).unwrap();
        let shown: Vec<String> =
            found.iter().map(|l| format!("{} {} {:?}", l.module, l.at.unwrap(), l.api)).collect();
        assert_eq!(
            shown,
            ["ejabberd_c2s 127.0.0.1:5222 None", "ejabberd_http 127.0.0.1:5280 Some(\"/api\")"]
        );
        let odd = "listen:\n  - { port: 'unix:/x', module: ejabberd_http, tls: on }\n";
        let found = declared_listeners(odd).unwrap();
        assert!(found[0].at.is_none() && found[0].tls);
        declared_listeners("listen:\n  - { port: 1, ip: X, module: ejabberd_c2s }\n").unwrap_err();
        declared_listeners("listen: [").unwrap_err();
    }
}
