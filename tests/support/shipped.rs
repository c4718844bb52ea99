//! The shipped configurations on a host of a test.

use std::fs;
use std::process::Command;

use super::host::Host;
use super::real::image;

/// The domain of the configurations.
pub const DOMAIN: &str = "smoothcurves.nexus";

/// The directory of the configurations.
pub const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/ejabberd");

/// Creates the certificate of the configurations, as `server.pem`.
pub fn certificate(host: &Host) {
    let (key, cert) = (host.path("key.pem"), host.path("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90"])
        .args(["-subj", &format!("/CN={DOMAIN}")])
        .args(["-addext", &format!("subjectAltName=DNS:{DOMAIN},DNS:conference.{DOMAIN}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(
        host.path("server.pem"),
        fs::read_to_string(key).unwrap() + &fs::read_to_string(cert).unwrap(),
    )
    .unwrap();
}

/// Declares a server with both variants, of which `variant` is in force, and with `objects`.
pub fn declare(host: &Host, network: &str, variant: &str, objects: &str) {
    let text = format!(
        "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: shipped }}\nspec:\n  host: {DOMAIN}\n  \
         server:\n    docker: {{ container: {}, image: \"{}\", network: {network} }}\n  \
         config:\n    variant: {variant}\n    variants:\n      hardened: {MANIFESTS}/ejabberd-hardened.yml\n      \
         permissive: {MANIFESTS}/ejabberd-permissive.yml\n    files: {{ server.pem: server.pem }}\n    gate: {{ settle: 1s }}\n{objects}",
        host.container,
        image(&host.version)
    );
    fs::write(host.file(), text).unwrap();
}

/// Takes the lock for the network of the host, which only one test may use, in all processes and
/// checkouts. Dropping the file releases the lock.
pub fn host_network() -> fs::File {
    let path = std::env::temp_dir().join("ejabberd-operator-host-network.lock");
    let file = fs::File::options().create(true).append(true).open(path).unwrap();
    file.lock().unwrap();
    file
}
