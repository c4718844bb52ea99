//! The tables of options: whether a changed option takes effect on a reload, or needs a restart.
//! The tables contain all options of 26.07, and the older names of 23.01. If the versions differ
//! and no version is given, the option needs a restart.
//!
//! From ejabberd's source: `ejabberd_options.erl` has all options; a reload
//! (`ejabberd_config:reload/0`) stores the options, runs the hooks `host_up` and `host_down`, and
//! then the hook `config_reloaded`. An option takes effect if ejabberd reads the option at each
//! use, or reads the option again in that hook. In the comments, "seen" means that the behaviour
//! was also tested on a live server. In that test, a server that was reloaded from the hardened to
//! the permissive example and back had the same rules, listeners, options, hooks and routes as a
//! freshly started server, except for removed shapers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::domain::configuration::Value;
use crate::domain::model::ServerVersion;

/// Options for which a reload is enough, separated by spaces.
const RELOAD: [&str; 11] = [
    // `ejabberd_config` itself reads these options while ejabberd loads the file. (loglevel: seen)
    "loglevel log_modules_fully fqdn version allow_contrib_modules install_contrib_modules",
    // A reload runs `host_up` and `host_down` for added and removed hosts, and `gen_mod` starts,
    // stops and reloads modules. (seen)
    "hosts hosts_alias modules host_config append_host_config",
    // `acl` and `ejabberd_shaper` fill their tables again, and `ejabberd_access_permissions` clears
    // its table. (acl, access_rules, shaper_rules: seen)
    "acl access_rules api_permissions shaper shaper_rules",
    // `ejabberd_listener` stops and starts the changed listeners; clients stay connected. (seen)
    "listen trusted_proxies websocket_origin websocket_ping_interval websocket_timeout",
    // `ejabberd_pkix` and `ejabberd_acme` read these options again. (certfiles: seen)
    "certfiles ca_file acme",
    // `ejabberd_auth` starts and stops methods; ejabberd reads the formats for each new password.
    // (auth_password_format: seen)
    "auth_method auth_password_format auth_scram_hash auth_stored_password_types \
     auth_password_types_hidden_in_sasl1 auth_external_user_exists_check anonymous_protocol \
     allow_multiple_connections disable_sasl_mechanisms disable_sasl_scram_downgrade_protection \
     extauth_program extauth_pool_size jwt_key jwt_jid_field jwt_auth_only_rule pam_service \
     pam_userinfotype oauth_access oauth_client_id_check",
    // `init_cache` of `ejabberd_auth`, `_oauth`, `_router` and `_sm`; the caches of modules use the
    // first four options as defaults. (cache_size: seen)
    "cache_life_time cache_missed cache_size use_cache auth_cache_life_time auth_cache_missed \
     auth_cache_size auth_use_cache oauth_cache_life_time oauth_cache_missed oauth_cache_size \
     oauth_cache_rest_failure_life_time oauth_use_cache router_cache_life_time \
     router_cache_missed router_cache_size router_use_cache sm_cache_life_time sm_cache_missed \
     sm_cache_size sm_use_cache",
    // `ejabberd_sql_sup` and `ejabberd_redis_sup` add and remove connections; ejabberd reads the
    // other options for each query.
    "sql_pool_size sql_query_timeout redis_pool_size pgsql_users_number_estimate ext_api_url \
     ext_api_headers ext_api_path_oauth rest_proxy_username rest_proxy_password",
    // `ejabberd_cluster` and `ejabberd_system_monitor` read these options again. (net_ticktime,
    // oom_watermark: seen)
    "net_ticktime rpc_timeout oom_killer oom_queue oom_watermark",
    // ejabberd reads these options for each new connection. (c2s_protocol_options: seen)
    "c2s_cafile c2s_ciphers c2s_dhfile c2s_protocol_options c2s_tls_compression \
     negotiation_timeout validate_stream resource_conflict replaced_connection_timeout \
     registration_timeout s2s_access s2s_cafile s2s_ciphers s2s_dhfile s2s_dns_retries \
     s2s_dns_timeout s2s_max_retry_delay s2s_protocol_options s2s_queue_type s2s_timeout \
     s2s_tls_compression s2s_use_starttls s2s_zlib outgoing_s2s_families \
     outgoing_s2s_ipv4_address outgoing_s2s_ipv6_address outgoing_s2s_port outgoing_s2s_timeout",
    // ejabberd reads these options at each use.
    "language hide_sensitive_log_data captcha_host captcha_limit captcha_url",
];

/// The options that need a restart, each group with the reason.
const RESTART: [(&str, &str); 12] = [
    (
        "open connections to the database keep their old settings",
        "sql_server sql_port sql_database sql_username sql_password sql_odbc_driver sql_ssl \
         sql_ssl_cafile sql_ssl_certfile sql_ssl_verify sql_connect_timeout sql_start_interval \
         sql_keepalive_interval sql_prepared_statements sql_flags sql_queue_type redis_server \
         redis_port redis_db redis_password redis_connect_timeout redis_queue_type",
    ),
    (
        "the storage is chosen at the start",
        "default_db default_ram_db sql_type sm_db_type router_db_type oauth_db_type",
    ),
    (
        "the tables of the database are checked when its connections start",
        "sql_schema_multihost new_sql_schema update_sql_schema update_sql_schema_timeout",
    ),
    (
        "open connections to LDAP keep their old settings",
        "ldap_backups ldap_base ldap_deref_aliases ldap_dn_filter ldap_encrypt ldap_filter \
         ldap_password ldap_port ldap_rootdn ldap_servers ldap_tls_cacertfile ldap_tls_certfile \
         ldap_tls_depth ldap_tls_verify ldap_uids",
    ),
    (
        "the HTTP client is set up at the start",
        "ext_api_http_pool_size rest_proxy rest_proxy_port auth_opts",
    ),
    // `ejabberd_logger:config_reloaded/0` reads these options again. The function is new in 24.06.
    // (seen: 26.07 reads the options on a reload, 23.01 does not)
    (
        READ_AGAIN_SINCE_24_06,
        "log_rotate_count log_rotate_size log_burst_limit_count log_burst_limit_window_time",
    ),
    ("existing queues keep their old settings", "queue_dir queue_type max_fsm_queue"),
    // `ejabberd_captcha` adds its hook only if captchas were on at the start. (seen)
    ("captchas that were off at the start stay off", "captcha_cmd"),
    // Only `init` of `ejabberd_oauth` (seen) and of `ejabberd_cluster` reads these options.
    ("it is read at the start only", "oauth_expire cluster_backend cluster_nodes"),
    ("the programs of the old pool would keep running", "extauth_pool_name"),
    ("connected components keep their routes", "domain_balancing"),
    (
        "its effect on the rest of the file is unknown",
        "define_macro define_keyword include_config_file",
    ),
];

/// The options of modules that need a restart: the reason, the module and the options. `*` matches
/// every module or option. For every other option a reload is enough: `gen_mod` calls `reload/3` of
/// the module, or stops and starts a module without `reload/3`.
const RESTART_OF_MODULES: [(&str, &str, &str); 11] = [
    ("the storage is chosen at the start", "*", "db_type ram_db_type"),
    // The state of `mod_muc_room` holds these options (seen). `access`, `access_create` (seen)
    // and `access_register` are read at each use. `default_room_options` apply to new rooms only,
    // with or without a restart.
    (
        "running rooms keep their old settings",
        "mod_muc",
        "access_admin access_mam access_persistent queue_type room_shaper",
    ),
    // `mod_multicast` and `mod_mix` get a message `reload` that these modules do not understand
    // (seen); the function `reload/3` of `mod_matrix_gw` does nothing.
    ("the module ignores new options on a reload", "mod_multicast", "*"),
    ("the module ignores new options on a reload", "mod_mix", "*"),
    ("the module ignores new options on a reload", "mod_matrix_gw", "*"),
    ("running bridges keep their old settings", "mod_mqtt_bridge", "*"),
    (
        "its cache is set up at the start",
        "mod_mqtt",
        "cache_life_time cache_missed cache_size use_cache",
    ),
    // (seen)
    ("its port is opened at the start and stays open", "mod_proxy65", "ip port"),
    ("connected components keep their old rights", "mod_delegation", "*"),
    ("connected components keep their old rights", "mod_privilege", "*"),
    (
        "open connections to LDAP keep their old settings",
        "*",
        "ldap_backups ldap_base ldap_deref_aliases ldap_encrypt ldap_password ldap_port \
         ldap_rootdn ldap_servers ldap_tls_cacertfile ldap_tls_certfile ldap_tls_depth \
         ldap_tls_verify",
    ),
];

/// The first version that reads the log options again on a reload.
const LOG_RELOADS: ServerVersion = ServerVersion { year: 24, month: 6 };
const READ_AGAIN_SINCE_24_06: &str = "before ejabberd 24.06 it is read at the start only";
const UNKNOWN: &str = "it is not known to take effect on a reload";
const RULES_GONE: &str = "a removed rule stays in force until a restart";
const CERTIFICATES_GONE: &str =
    "a removed certificate stays loaded, and may be used, until a restart";
const STUN: &str = "clients get the STUN and TURN addresses of the start";

/// The reason why a changed option needs a restart of a server of `version`; `None` if a reload is
/// enough. For some options the old and the new value decide, if `values` contains both.
pub(super) fn restart(
    option: &str,
    values: Option<(Option<&Value>, Option<&Value>)>,
    version: Option<ServerVersion>,
) -> Option<&'static str> {
    match OPTIONS.get(option) {
        None => return Some(UNKNOWN),
        Some(Some(READ_AGAIN_SINCE_24_06)) if version.is_some_and(|v| v >= LOG_RELOADS) => {
            return None;
        }
        Some(Some(why)) => return Some(why),
        Some(None) => {}
    }
    let (keeps_nothing, why): (fn(&Value, &Value) -> bool, _) = match option {
        // `ejabberd_shaper` inserts rules, and never deletes a rule. (seen)
        "shaper_rules" => (no_rule_is_gone, RULES_GONE),
        // `ejabberd_pkix` adds files, and removes no file that still exists. If two certificates
        // are for one host, ejabberd may then serve the removed certificate. (seen)
        "certfiles" => (no_certificate_is_gone, CERTIFICATES_GONE),
        // `mod_stun_disco` reads the listeners only at its start. (seen)
        "listen" => (stun_is_the_same, STUN),
        _ => return None,
    };
    let none = &Value::Null;
    let harmless = values.is_some_and(|(before, after)| {
        keeps_nothing(before.unwrap_or(none), after.unwrap_or(none))
    });
    if harmless { None } else { Some(why) }
}

/// The reason why a changed option of a module needs a restart; `None` if a reload is enough.
pub(super) fn restart_for_module(module: &str, option: &str) -> Option<&'static str> {
    RESTART_OF_MODULES
        .iter()
        .find(|(_, modules, options)| {
            (*modules == "*" || *modules == module) && (*options == "*" || has(options, option))
        })
        .map(|(why, ..)| *why)
}

/// The reason why the removal of a module needs a restart; `None` if a reload is enough.
pub(super) fn restart_without_module(module: &str) -> Option<&'static str> {
    // `mod_proxy65` does not close its port when the module stops. (seen)
    (module == "mod_proxy65").then_some("its port is opened at the start and stays open")
}

/// Both tables: each option, with the reason for a restart; `None` if a reload is enough.
pub(super) fn table() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let reload = RELOAD.iter().map(|options| (*options, None));
    let restart = RESTART.iter().map(|(why, options)| (*options, Some(*why)));
    reload
        .chain(restart)
        .flat_map(|(options, why)| options.split_whitespace().map(move |option| (option, why)))
}

/// Both tables as a map, because a file may have any number of options.
static OPTIONS: LazyLock<BTreeMap<&str, Option<&str>>> = LazyLock::new(|| table().collect());

fn has(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|one| one == word)
}

fn no_rule_is_gone(before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.entries(), after.entries()) else { return false };
    let after: BTreeSet<&String> = after.iter().map(|(name, _)| name).collect();
    before.iter().all(|(name, _)| after.contains(name))
}

fn no_certificate_is_gone(before: &Value, after: &Value) -> bool {
    let after: BTreeSet<&str> = after.elements().iter().filter_map(Value::text).collect();
    *before == Value::Null
        || before.elements().iter().all(|path| path.text().is_some_and(|p| after.contains(p)))
}

fn stun_is_the_same(before: &Value, after: &Value) -> bool {
    let stun = |listeners: &Value| -> Option<Vec<Value>> {
        let mut found = Vec::new();
        for listener in listeners.elements().iter().filter(|value| **value != Value::Null) {
            if *listener.get("module")? == Value::Text("ejabberd_stun".into()) {
                found.push(listener.clone());
            }
        }
        Some(found)
    };
    matches!((stun(before), stun(after)), (Some(before), Some(after)) if before == after)
}
