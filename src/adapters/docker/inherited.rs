//! The settings that a new container inherits from the container that it replaces.
//!
//! The declaration sets image, network, ports, volumes and environment. The new container inherits
//! all other settings, because the administrator chose these settings: other mounts, host name,
//! command, labels and limits. The host name may be part of the name of the Erlang node. With
//! another node name, ejabberd cannot use the existing database.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, ImageConfig, Mount,
    MountBindOptions, MountType,
};

use super::create;
use super::create::{Layout, MANAGED_VARIABLES};
use super::database::covering;
use crate::domain::database::Location;
use crate::domain::spec::{Docker as Spec, Network};

/// The container to replace, and the settings of its image.
pub(super) struct Old<'a> {
    pub(super) container: &'a ContainerInspectResponse,
    /// The settings of the old image, which the replacement does not inherit.
    pub(super) image: &'a ImageConfig,
}

/// The body of the request that creates a replacement of `old`. `new` contains the settings of the
/// new image.
pub(super) fn body(spec: &Spec, old: &Old<'_>, new: &ImageConfig) -> ContainerCreateBody {
    let declared = create::container_body(spec, &BTreeMap::new());
    let config = old.container.config.clone().unwrap_or_default();
    let host = old.container.host_config.clone().unwrap_or_default();
    let own = |set: Option<Vec<String>>, of_image: &Option<Vec<String>>| {
        set.filter(|set| Some(set) != of_image.as_ref())
    };
    let non_default = |set: Option<String>, of_image: &Option<String>| {
        set.filter(|set| !set.is_empty() && Some(set) != of_image.as_ref())
    };
    let on_host = |host: &HostConfig| host.network_mode.as_deref() == Some("host");
    let both_on_host = on_host(&host) && spec.network == Network::Host;
    let entrypoint = own(config.entrypoint, &old.image.entrypoint);
    ContainerCreateBody {
        // With the host's network, the container always has the host's name.
        hostname: config.hostname.filter(|name| !name.is_empty() && !both_on_host),
        domainname: config.domainname.filter(|name| !name.is_empty()),
        user: non_default(config.user, &old.image.user),
        // If a container has a custom entry point, the engine ignores the command of the image. So
        // the administrator chose the old command, even if the image has the same command.
        cmd: if entrypoint.is_some() { config.cmd } else { own(config.cmd, &old.image.cmd) },
        entrypoint,
        working_dir: non_default(config.working_dir, &old.image.working_dir),
        env: Some(environment(spec, old)),
        labels: Some(marked(spec, config.labels.as_ref(), old.image.labels.as_ref())),
        healthcheck: config
            .healthcheck
            .filter(|check| Some(check) != old.image.healthcheck.as_ref()),
        stop_signal: non_default(config.stop_signal, &old.image.stop_signal),
        stop_timeout: config.stop_timeout,
        host_config: Some(HostConfig {
            mounts: Some(mounts(spec, old, new)),
            // `mounts` contains the mounts of both fields.
            binds: None,
            volumes_from: None,
            network_mode: declared.host_config.as_ref().and_then(|host| host.network_mode.clone()),
            port_bindings: declared.host_config.as_ref().and_then(|h| h.port_bindings.clone()),
            restart_policy: declared.host_config.as_ref().and_then(|h| h.restart_policy.clone()),
            ..host
        }),
        ..declared
    }
}

/// The environment of the new container: the variables that the administrator set, the variables
/// that bind Erlang to loopback, and the declared variables. Omits variables that were declared for
/// the old container and no longer are.
pub(super) fn environment(spec: &Spec, old: &Old<'_>) -> Vec<String> {
    let config = old.container.config.as_ref();
    let set = config.and_then(|config| config.env.as_deref()).unwrap_or_default();
    let of_image = old.image.env.as_deref().unwrap_or_default();
    let declared_before = config.and_then(|config| config.labels.as_ref()?.get(MANAGED_VARIABLES));
    let declared_before: Vec<&str> =
        declared_before.into_iter().flat_map(|l| l.split(',')).collect();
    let mut env: BTreeMap<&str, &str> = set
        .iter()
        .filter(|line| !of_image.contains(line))
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| !declared_before.contains(name))
        .collect();
    env.extend(create::LOOPBACK_ONLY);
    env.extend(spec.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    env.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn marked(
    spec: &Spec,
    set: Option<&HashMap<String, String>>,
    of_image: Option<&HashMap<String, String>>,
) -> HashMap<String, String> {
    let of_image = |name: &String, value: &String| {
        of_image.and_then(|labels| labels.get(name)).is_some_and(|of_image| of_image == value)
    };
    let set = set.into_iter().flatten().filter(|(name, value)| !of_image(name, value));
    let mut labels: HashMap<_, _> =
        set.map(|(name, value)| (name.clone(), value.clone())).collect();
    labels.extend(create::labels_of(spec));
    labels
}

/// The mounts of the new container: the mounts of the old container, and the volumes of
/// [`create::volumes`]. A declared volume replaces the old mount at the same path. A default volume
/// (for the database or the configuration) is added only if no other mount covers its path. If the
/// old container mounts one of these volumes at another path, the new container omits that mount.
pub(super) fn mounts(spec: &Spec, old: &Old<'_>, new: &ImageConfig) -> Vec<Mount> {
    let asked = old.container.host_config.as_ref().and_then(|host| host.mounts.as_ref());
    let asked = |target: &str| {
        let same = |mount: &&Mount| mount.target.as_deref() == Some(target);
        // The request that created the old container gives an unnamed volume no name. Ignore this
        // part of the request, so that `built` with the name that the engine chose is used.
        let named = |mount: &&Mount| mount.source.as_ref().is_some_and(|name| !name.is_empty());
        asked.into_iter().flatten().find(same).filter(named).cloned()
    };
    let mut mounts: BTreeMap<String, Mount> = BTreeMap::new();
    for mount in old.container.mounts.iter().flatten() {
        let Some(target) = mount.destination.clone() else { continue };
        let typ = match mount.typ.as_deref() {
            Some("volume") => MountType::VOLUME,
            Some("bind") => MountType::BIND,
            // Mounts in memory are part of the inherited host configuration.
            _ => continue,
        };
        let bind = typ == MountType::BIND;
        let propagation = mount.propagation.as_deref().and_then(|text| text.parse().ok());
        let built = Mount {
            target: Some(target.clone()),
            source: if bind { mount.source.clone() } else { mount.name.clone() },
            read_only: mount.rw.map(|writable| !writable),
            bind_options: bind.then(|| MountBindOptions { propagation, ..Default::default() }),
            typ: Some(typ),
            ..Default::default()
        };
        mounts.insert(target.clone(), asked(&target).unwrap_or(built));
    }
    let layout = new_layout(spec, old, new);
    for (target, name) in create::volumes(spec, &layout) {
        let declared = spec.volumes.contains_key(&target);
        let location = covering(&locations(&mounts), &target);
        if !declared && location != Location::Container {
            // Another mount already covers this path, so the default volume is not needed.
            continue;
        }
        // Remove the old mount of the volume. Otherwise the container would have the volume twice.
        mounts.retain(|_, mount| mount.source.as_deref() != Some(name.as_str()));
        mounts.insert(target.clone(), create::volume_mount(&target, &name));
    }
    mounts.into_values().collect()
}

/// The directories of the new container.
pub(super) fn new_layout(spec: &Spec, old: &Old<'_>, new: &ImageConfig) -> Layout {
    let env = environment(spec, old).into_iter().chain(new.env.iter().flatten().cloned());
    let config = old.container.config.as_ref();
    let own = config.and_then(|config| config.working_dir.as_deref());
    let own = own.filter(|own| Some(*own) != old.image.working_dir.as_deref());
    let directory = own.or(new.working_dir.as_deref());
    Layout::new(&env.collect::<Vec<_>>(), directory, new.volumes.as_deref())
}

/// The mounts of a container that is about to be created, by path.
pub(super) fn by_path(body: &ContainerCreateBody) -> BTreeMap<String, Mount> {
    let mounts = body.host_config.as_ref().and_then(|host| host.mounts.clone());
    let mounts = mounts.into_iter().flatten();
    mounts.filter_map(|mount| Some((mount.target.clone()?, mount))).collect()
}

/// The locations of `mounts`, by path.
pub(super) fn locations(mounts: &BTreeMap<String, Mount>) -> BTreeMap<String, Location> {
    let location = |mount: &Mount| {
        let source = mount.source.clone().unwrap_or_default();
        match mount.typ {
            Some(MountType::BIND) => Location::Host(source),
            _ => Location::whole_volume(&source),
        }
    };
    mounts.iter().map(|(target, mount)| (target.clone(), location(mount))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use bollard::models::{ContainerConfig, MountPoint};

    use super::*;

    /// A declaration of the container `v2` on an engine that does not exist.
    pub fn spec() -> Spec {
        Spec {
            container: "v2".to_owned(),
            image: Some("new".to_owned()),
            engine: "unix:///x".to_owned(),
            network: Network::Bridge,
            ports: Vec::new(),
            volumes: BTreeMap::new(),
            environment: BTreeMap::new(),
            config_path: None,
            recreate: crate::domain::spec::Recreate::WhenChanged,
        }
    }

    fn point(typ: &str, name: &str, destination: &str) -> MountPoint {
        MountPoint {
            typ: Some(typ.to_owned()),
            name: Some(name.to_owned()),
            source: Some(name.to_owned()),
            destination: Some(destination.to_owned()),
            rw: Some(true),
            ..Default::default()
        }
    }

    fn old(env: &[&str], mounts: Vec<MountPoint>) -> ContainerInspectResponse {
        ContainerInspectResponse {
            config: Some(ContainerConfig {
                hostname: Some("0123456789ab".to_owned()),
                cmd: Some(vec!["live".to_owned()]),
                env: Some(env.iter().map(|&line| line.to_owned()).collect()),
                labels: Some(HashMap::from([("com.example".to_owned(), "1".to_owned())])),
                ..Default::default()
            }),
            host_config: Some(HostConfig { memory: Some(1 << 30), ..Default::default() }),
            mounts: Some(mounts),
            ..Default::default()
        }
    }

    fn image() -> ImageConfig {
        ImageConfig {
            env: Some(vec!["PATH=/bin".to_owned()]),
            working_dir: Some("/home/ejabberd".to_owned()),
            cmd: Some(vec!["foreground".to_owned()]),
            ..Default::default()
        }
    }

    #[test]
    fn undeclared_settings_are_inherited() {
        let mounts = vec![
            point("volume", "data", "/home/ejabberd/database"),
            point("volume", "0123abcd", "/home/ejabberd/upload"),
            point("bind", "/srv/conf", "/home/ejabberd/conf"),
        ];
        let container = old(&["PATH=/bin", "ERLANG_NODE=ejabberd"], mounts);
        let (image, spec) = (image(), spec());
        let body = body(&spec, &Old { container: &container, image: &image }, &image);
        assert_eq!(body.hostname.as_deref(), Some("0123456789ab"));
        assert_eq!(body.cmd.as_deref(), Some(["live".to_owned()].as_slice()));
        assert_eq!(body.image.as_deref(), Some("new"));
        let env = body.env.unwrap();
        assert!(env.contains(&"ERLANG_NODE=ejabberd".to_owned()), "{env:?}");
        assert!(!env.contains(&"PATH=/bin".to_owned()), "{env:?}");
        assert!(body.labels.unwrap().contains_key("com.example"));
        let host = body.host_config.unwrap();
        assert_eq!(host.memory, Some(1 << 30));
        let mounts = host.mounts.unwrap();
        let shown: Vec<String> = mounts
            .iter()
            .map(|m| format!("{} {}", m.target.as_deref().unwrap(), m.source.as_deref().unwrap()))
            .collect();
        assert_eq!(
            shown,
            [
                "/home/ejabberd/conf /srv/conf",
                "/home/ejabberd/database data",
                "/home/ejabberd/upload 0123abcd",
            ]
        );
    }

    #[test]
    fn a_replacement_drops_variables_no_longer_declared_and_moves_the_volume_to_a_new_path() {
        let mounts = vec![point("volume", "v2-database", "/home/ejabberd/database")];
        let mut container = old(&["A=1", "B=2"], mounts);
        let labels = container.config.as_mut().unwrap().labels.as_mut().unwrap();
        labels.insert(MANAGED_VARIABLES.to_owned(), "A".to_owned());
        let mut spec = spec();
        spec.environment.insert("SPOOL_DIR".to_owned(), "/data".to_owned());
        let image = image();
        let old = Old { container: &container, image: &image };
        let env = environment(&spec, &old);
        assert!(
            env.contains(&"B=2".to_owned()) && !env.iter().any(|line| line == "A=1"),
            "{env:?}"
        );
        let mounts = mounts_by_path(&mounts_of(&spec, &old, &image));
        assert_eq!(mounts.get("/data").map(String::as_str), Some("v2-database"));
        assert!(!mounts.contains_key("/home/ejabberd/database"), "{mounts:?}");
    }

    fn mounts_of(spec: &Spec, old: &Old<'_>, new: &ImageConfig) -> Vec<Mount> {
        super::mounts(spec, old, new)
    }

    fn mounts_by_path(mounts: &[Mount]) -> BTreeMap<String, String> {
        let pair = |mount: &Mount| (mount.target.clone().unwrap(), mount.source.clone().unwrap());
        mounts.iter().map(pair).collect()
    }
}
