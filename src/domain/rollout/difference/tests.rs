use super::*;

/// Every option of `ejabberd_options.erl` at 26.07.
const ALL: &str = "access_rules acl acme allow_contrib_modules allow_multiple_connections \
     anonymous_protocol api_permissions append_host_config auth_cache_life_time \
     auth_cache_missed auth_cache_size auth_external_user_exists_check auth_method \
     auth_opts auth_password_format auth_password_types_hidden_in_sasl1 auth_scram_hash \
     auth_stored_password_types auth_use_cache c2s_cafile c2s_ciphers c2s_dhfile \
     c2s_protocol_options c2s_tls_compression ca_file cache_life_time cache_missed \
     cache_size captcha_cmd captcha_host captcha_limit captcha_url certfiles \
     cluster_backend cluster_nodes default_db default_ram_db define_keyword define_macro \
     disable_sasl_mechanisms disable_sasl_scram_downgrade_protection domain_balancing \
     ext_api_headers ext_api_http_pool_size ext_api_path_oauth ext_api_url \
     extauth_pool_name extauth_pool_size extauth_program fqdn hide_sensitive_log_data \
     host_config hosts hosts_alias include_config_file install_contrib_modules \
     jwt_auth_only_rule jwt_jid_field jwt_key language ldap_backups ldap_base \
     ldap_deref_aliases ldap_dn_filter ldap_encrypt ldap_filter ldap_password ldap_port \
     ldap_rootdn ldap_servers ldap_tls_cacertfile ldap_tls_certfile ldap_tls_depth \
     ldap_tls_verify ldap_uids listen log_burst_limit_count log_burst_limit_window_time \
     log_modules_fully log_rotate_count log_rotate_size loglevel max_fsm_queue modules \
     negotiation_timeout net_ticktime oauth_access oauth_cache_life_time oauth_cache_missed \
     oauth_cache_rest_failure_life_time oauth_cache_size oauth_client_id_check \
     oauth_db_type oauth_expire oauth_use_cache oom_killer oom_queue oom_watermark \
     outgoing_s2s_families outgoing_s2s_ipv4_address outgoing_s2s_ipv6_address \
     outgoing_s2s_port outgoing_s2s_timeout pam_service pam_userinfotype \
     pgsql_users_number_estimate queue_dir queue_type redis_connect_timeout redis_db \
     redis_password redis_pool_size redis_port redis_queue_type redis_server \
     registration_timeout replaced_connection_timeout resource_conflict rest_proxy \
     rest_proxy_password rest_proxy_port rest_proxy_username router_cache_life_time \
     router_cache_missed router_cache_size router_db_type router_use_cache rpc_timeout \
     s2s_access s2s_cafile s2s_ciphers s2s_dhfile s2s_dns_retries s2s_dns_timeout \
     s2s_max_retry_delay s2s_protocol_options s2s_queue_type s2s_timeout \
     s2s_tls_compression s2s_use_starttls s2s_zlib shaper shaper_rules sm_cache_life_time \
     sm_cache_missed sm_cache_size sm_db_type sm_use_cache sql_connect_timeout sql_database \
     sql_flags sql_keepalive_interval sql_odbc_driver sql_password sql_pool_size sql_port \
     sql_prepared_statements sql_query_timeout sql_queue_type sql_schema_multihost \
     sql_server sql_ssl sql_ssl_cafile sql_ssl_certfile sql_ssl_verify sql_start_interval \
     sql_type sql_username trusted_proxies update_sql_schema update_sql_schema_timeout \
     use_cache validate_stream version websocket_origin websocket_ping_interval \
     websocket_timeout";

const HARDENED: &[u8] = include_bytes!("../../../../manifests/ejabberd/ejabberd-hardened.yml");
const PERMISSIVE: &[u8] = include_bytes!("../../../../manifests/ejabberd/ejabberd-permissive.yml");

const MAIN_FILE: &str = "ejabberd.yml";

type Files = BTreeMap<String, Vec<u8>>;

fn main_file(content: &[u8]) -> Files {
    [(MAIN_FILE.to_owned(), content.to_vec())].into()
}

/// The changes between files whose main file is already expanded.
fn of_files(before: &Files, after: &Files, version: Option<ServerVersion>) -> Vec<Changed> {
    let expanded =
        |files: &Files| files.get(MAIN_FILE).map(|text| Configuration::from_dump(text).unwrap());
    let (old, new) = (expanded(before), expanded(after));
    difference(
        Snapshot { files: before, expanded: old.as_ref() },
        Snapshot { files: after, expanded: new.as_ref() },
        version,
    )
}

fn between(before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) -> Vec<Changed> {
    of_files(&main_file(before.as_ref()), &main_file(after.as_ref()), None)
}

/// The changes as text: `name`, or `name!` if the change needs a restart.
fn shown(changes: &[Changed]) -> String {
    for change in changes {
        assert_eq!(change.why.is_some(), change.method == Method::Restart, "{change:?}");
    }
    let names = changes.iter().map(|change| match change.method {
        Method::Reload => change.name.clone(),
        Method::Restart => format!("{}!", change.name),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// The old text, the new text, and the expected names, with a `!` for a restart.
const CASES: &[(&str, &str, &str)] = &[
    // Changes without an effect.
    ("loglevel: info", "loglevel: info", ""),
    ("loglevel: info", "# more\nloglevel: info", "ejabberd.yml"),
    ("a: 1\nlanguage: en", "language: 'en'\na: 1", "ejabberd.yml"),
    (
        "modules: {mod_a: {x: 1, y: 2}, mod_b: {}}",
        "modules: {mod_b: , mod_a: {y: 2, x: 1}}",
        "ejabberd.yml",
    ),
    ("", "# nothing", "ejabberd.yml"),
    // Options.
    ("loglevel: info", "loglevel: debug", "loglevel"),
    ("loglevel: info", "", "loglevel"),
    ("hosts: [a]", "hosts: [a, b]\nlanguage: de", "hosts language"),
    ("log_rotate_count: 1", "log_rotate_count: 3", "log_rotate_count!"),
    (
        "sql_server: a\nsql_pool_size: 1",
        "sql_server: b\nsql_pool_size: 2",
        "sql_pool_size sql_server!",
    ),
    ("default_db: mnesia", "default_db: sql", "default_db!"),
    ("new_sql_schema: true", "new_sql_schema: false", "new_sql_schema!"),
    ("", "of_tomorrow: 1", "of_tomorrow!"),
    ("loglevel: 4", "loglevel: '4'", "loglevel"),
    // ejabberd tries rules in their order.
    (
        "access_rules: {a: {deny: x, allow: y}}",
        "access_rules: {a: {allow: y, deny: x}}",
        "access_rules",
    ),
    ("access_rules: {a: b}", "access_rules: {}", "access_rules"),
    ("acl: {a: {user: b}}", "acl: {}", "acl"),
    // Removed shaper rules stay in force until a restart.
    ("shaper_rules: {a: 1}", "shaper_rules: {a: 2, b: 1}", "shaper_rules"),
    ("shaper_rules: {a: 1, b: 1}", "shaper_rules: {a: 1}", "shaper_rules!"),
    ("shaper_rules: {a: 1}", "", "shaper_rules!"),
    ("", "shaper_rules: {a: 1}", "shaper_rules"),
    // Removed certificates stay loaded until a restart.
    ("certfiles: [a]", "certfiles: [b, a]", "certfiles"),
    ("certfiles: [a]", "certfiles: [b]", "certfiles!"),
    ("certfiles: a", "certfiles: [a, b]", "certfiles"),
    // A reload opens changed listeners again, but clients keep the old STUN addresses.
    ("listen: [{port: 1, module: c}]", "listen: [{port: 2, module: c}]", "listen"),
    ("listen: [{port: 1, module: c}]", "", "listen"),
    (
        "listen: [{port: 1, module: ejabberd_stun}, {port: 2, module: c}]",
        "listen: [{port: 3, module: c}, {port: 1, module: ejabberd_stun}]",
        "listen",
    ),
    (
        "listen: [{port: 1, module: ejabberd_stun, turn_ipv4_address: 1.2.3.4}]",
        "listen: [{port: 1, module: ejabberd_stun, turn_ipv4_address: 1.2.3.5}]",
        "listen!",
    ),
    ("listen: [{port: 1}]", "listen: [{port: 2}]", "listen!"),
    // Modules.
    ("modules: {mod_a: {}}", "modules: {mod_a: {}, mod_b: {x: 1}}", "modules.mod_b"),
    ("modules: {mod_a: {}, mod_b: }", "modules: {mod_a: }", "modules.mod_b"),
    ("modules: {mod_a: {}}", "", "modules.mod_a"),
    ("modules: {mod_proxy65: {}}", "modules: {}", "modules.mod_proxy65!"),
    (
        "modules: {mod_proxy65: {port: 1, max_connections: 1}}",
        "modules: {mod_proxy65: {port: 2, max_connections: 2}}",
        "modules.mod_proxy65.max_connections modules.mod_proxy65.port!",
    ),
    (
        "modules: {mod_version: {show_os: true}}",
        "modules: {mod_version: {}}",
        "modules.mod_version.show_os",
    ),
    (
        "modules: {mod_x: {db_type: sql}}",
        "modules: {mod_x: {db_type: mnesia}}",
        "modules.mod_x.db_type!",
    ),
    (
        "modules: {mod_muc: {access_create: a, access_admin: b}}",
        "modules: {mod_muc: {access_create: b, access_admin: a}}",
        "modules.mod_muc.access_admin! modules.mod_muc.access_create",
    ),
    (
        "modules: {mod_muc: {}}",
        "modules: {mod_muc: {default_room_options: {mam: true}}}",
        "modules.mod_muc.default_room_options",
    ),
    (
        "modules: {mod_multicast: {}}",
        "modules: {mod_multicast: {access: a}}",
        "modules.mod_multicast.access!",
    ),
    ("modules: [mod_a]", "modules: [mod_b]", "modules!"),
    ("modules: {mod_a: [x]}", "modules: {mod_a: [y]}", "modules.mod_a!"),
    // Options of hosts.
    (
        "host_config: {h.org: {auth_method: a}}",
        "host_config: {h.org: {auth_method: b, sql_server: c}}",
        "host_config.h.org.auth_method host_config.h.org.sql_server!",
    ),
    (
        "append_host_config: {h: {modules: {mod_muc: {access_mam: a}}}}",
        "append_host_config: {h: {modules: {mod_muc: {access_mam: b}}}}",
        "append_host_config.h.modules.mod_muc.access_mam!",
    ),
    ("hosts: [h]\nhost_config: {h: {modules: {mod_a: }}}", "hosts: [h]", "host_config.h.modules!"),
    (
        "hosts: [h]",
        "hosts: [h]\nhost_config: {h: {shaper_rules: {a: 1}}}",
        "host_config.h.shaper_rules!",
    ),
    (
        "hosts: [g]",
        "hosts: [g, H]\nhost_config: {h: {shaper_rules: {a: 1}, modules: {mod_a: }}}",
        "host_config.h.modules.mod_a host_config.h.shaper_rules hosts",
    ),
    ("host_config: {h: [a]}", "host_config: {h: [b]}", "host_config.h!"),
    ("host_config: [a]", "host_config: [b]", "host_config!"),
    // An option that uses a keyword changes with the keyword.
    (
        "define_keyword: {LV: b}\nsql_server: '@LV@.org'",
        "define_keyword: {LV: c}\nsql_server: '@LV@.org'",
        "sql_server!",
    ),
    ("define_keyword: {LV: 1}\nloglevel: LV", "loglevel: 1", "ejabberd.yml"),
    (
        "define_keyword: {LV: 1}\nloglevel: 4",
        "define_keyword: {LV: 2}\nloglevel: 4",
        "ejabberd.yml",
    ),
    // Spellings of truth values.
    ("sql_ssl: yes", "sql_ssl: true", "ejabberd.yml"),
    (
        "modules: {mod_x: {db_type: on}}",
        "modules: {mod_x: {db_type: off}}",
        "modules.mod_x.db_type!",
    ),
    (
        "listen: [{port: 1, module: c, tls: y}]",
        "listen: [{port: 1, module: c, tls: on}]",
        "ejabberd.yml",
    ),
    // Anchors of YAML.
    ("loglevel: &a info\nlanguage: *a", "loglevel: info\nlanguage: info", "ejabberd.yml"),
    ("loglevel: &a info\nlanguage: *a", "loglevel: &a debug\nlanguage: *a", "language loglevel"),
];

#[test]
fn changes_have_names_and_methods() {
    for (before, after, expected) in CASES {
        assert_eq!(shown(&between(*before, *after)), *expected, "{before:?} → {after:?}");
    }
}

#[test]
fn the_file_name_decides_the_method_if_no_options_are_compared() {
    let files = |entries: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
        entries.iter().map(|(name, content)| ((*name).to_owned(), (*content).into())).collect()
    };
    for (before, after, expected) in [
        (&[("a.pem", "1")][..], &[("a.pem", "1")][..], ""),
        (&[("a.pem", "1")], &[("a.pem", "2"), ("certs/B.CRT", "1")], "a.pem certs/B.CRT"),
        (&[("a.key", "1"), ("b.cer", "1")], &[], "a.key b.cer"),
        (&[], &[("ejabberdctl.cfg", "1"), ("inetrc", "1")], "ejabberdctl.cfg! inetrc!"),
        (&[("vm.args", "1")], &[("vm.args", "2")], "vm.args!"),
        (&[("modules.d/x.yml", "1")], &[("modules.d/x.yml", "2")], "modules.d/x.yml!"),
        (&[], &[("ejabberd.yml", "")], "ejabberd.yml!"),
        (&[("ejabberd.yml", "")], &[], "ejabberd.yml!"),
        // `difference` compares the expanded configurations, and these are equal here. So the
        // included file is a changed file for which a reload is enough.
        (
            &[("ejabberd.yml", "loglevel: 1"), ("x.yml", "1")],
            &[("ejabberd.yml", "loglevel: 1"), ("x.yml", "2")],
            "x.yml",
        ),
        (
            &[("ejabberd.yml", "loglevel: 1"), ("x.yaml", "1"), ("inetrc", "1")],
            &[("ejabberd.yml", "loglevel: 2"), ("x.yaml", "2"), ("inetrc", "2")],
            "loglevel inetrc!",
        ),
        (
            &[("ejabberd.yml", "loglevel: 1"), ("a.pem", "1")],
            &[("ejabberd.yml", "loglevel: 2"), ("a.pem", "2")],
            "loglevel a.pem",
        ),
    ] {
        assert_eq!(shown(&of_files(&files(before), &files(after), None)), expected);
    }
}

#[test]
fn log_rotate_size_needs_a_restart_only_before_24_06() {
    let (before, after) = (main_file(b"log_rotate_size: 1"), main_file(b"log_rotate_size: 2"));
    for (year, month, expected) in [
        (23, 1, "log_rotate_size!"),
        (24, 2, "log_rotate_size!"),
        (24, 6, "log_rotate_size"),
        (24, 12, "log_rotate_size"),
        (26, 7, "log_rotate_size"),
    ] {
        let version = Some(ServerVersion { year, month });
        assert_eq!(shown(&of_files(&before, &after, version)), expected, "{year}.{month}");
    }
}

#[test]
fn the_slowest_change_decides_the_method() {
    assert_eq!(method(&[]), Method::Reload);
    assert_eq!(method(&between("loglevel: 1", "loglevel: 2")), Method::Reload);
    let both = between("loglevel: 1\nqueue_dir: a", "loglevel: 2\nqueue_dir: b");
    assert_eq!(method(&both), Method::Restart);
    assert_eq!([Method::Reload.as_str(), Method::Restart.as_str()], ["reload", "restart"]);
}

#[test]
fn every_option_is_classified_once() {
    let unknown = options::restart("of_tomorrow", None, None);
    assert_eq!(unknown, Some("it is not known to take effect on a reload"));
    let all: Vec<&str> = ALL.split_whitespace().chain(["new_sql_schema"]).collect();
    assert_eq!(all.len(), 178);
    for option in &all {
        assert_ne!(options::restart(option, None, None), unknown, "{option}");
    }
    let mut classified: Vec<&str> = options::table().map(|(option, _)| option).collect();
    classified.sort_unstable();
    let mut expected = all;
    expected.sort_unstable();
    assert_eq!(classified, expected);
}

#[test]
fn real_files_are_compared_both_ways() {
    let expected = "access_rules acl allow_contrib_modules api_permissions c2s_ciphers \
         c2s_protocol_options disable_sasl_mechanisms hide_sensitive_log_data listen \
         log_rotate_count! modules.mod_adhoc modules.mod_announce modules.mod_bosh \
         modules.mod_configure modules.mod_muc.access modules.mod_muc.access_admin! \
         modules.mod_muc.access_create modules.mod_muc.access_persistent! \
         modules.mod_muc.default_room_options modules.mod_muc.max_user_conferences \
         modules.mod_muc.max_users modules.mod_ping.ping_interval modules.mod_ping.send_pings \
         modules.mod_ping.timeout_action modules.mod_pubsub.plugins modules.mod_register \
         modules.mod_s2s_dialback modules.mod_vcard.search modules.mod_version.show_os \
         s2s_access s2s_use_starttls shaper shaper_rules";
    let there = between(HARDENED, PERMISSIVE);
    assert_eq!(shown(&there), expected);
    // The change from permissive to hardened removes a shaper rule.
    let back = between(PERMISSIVE, HARDENED);
    assert_eq!(shown(&back), expected.replace("shaper_rules", "shaper_rules!"));
    assert_eq!((method(&there), method(&back)), (Method::Restart, Method::Restart));
    assert_eq!(shown(&between(HARDENED, HARDENED)), "");
}
