//! Reads the paths in the code of a file with `syn`, also in the tokens of macros. Resolves `use`
//! lines with groups and renames, `self` and `super`.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The names in a file.
#[derive(Default)]
pub struct Names {
    /// The resolved paths, such as `crate::engine::Engine` or `std::fs::read`.
    pub paths: Vec<Vec<String>>,
    /// The names of the macros that the file calls.
    pub macros: Vec<String>,
    /// `true` if the file has async code.
    pub is_async: bool,
}

/// Reads the code of the module at `module`, such as `["engine", "ports"]`. With `with_tests`, also
/// reads items below `#[cfg(test)]`.
pub fn names(module: &[&str], code: &str, with_tests: bool) -> Names {
    let file = syn::parse_file(code).unwrap_or_else(|error| panic!("{module:?}: {error}"));
    let module: Vec<String> = module.iter().map(|name| (*name).to_owned()).collect();
    let mut reader = Reader { with_tests, scope: Scope::new(module), names: Names::default() };
    reader.visit_file(&file);
    reader.names
}

/// A module, and the names that its `use` lines import.
#[derive(Clone)]
struct Scope {
    module: Vec<String>,
    imported: BTreeMap<String, Vec<String>>,
}

impl Scope {
    fn new(module: Vec<String>) -> Self {
        Self { module, imported: BTreeMap::new() }
    }

    /// Returns the path from the root of the crate, or from the name of another crate.
    fn resolve(&self, path: &[String]) -> Vec<String> {
        let Some(first) = path.first() else { return Vec::new() };
        let ups = path.iter().take_while(|name| *name == "super").count();
        let after_self = usize::from(first == "self");
        if first == "crate" {
            return path.to_vec();
        }
        if ups > 0 || after_self > 0 {
            // `self::super::x` is `super::x`.
            let rest = &path[after_self..];
            let ups = rest.iter().take_while(|name| *name == "super").count();
            let kept = self.module.len().saturating_sub(ups);
            let root = std::iter::once("crate".to_owned());
            let whole = root.chain(self.module[..kept].iter().cloned());
            return whole.chain(rest[ups..].iter().cloned()).collect();
        }
        match self.imported.get(first) {
            Some(target) => target.iter().chain(&path[1..]).cloned().collect(),
            None => path.to_vec(),
        }
    }
}

struct Reader {
    with_tests: bool,
    scope: Scope,
    names: Names,
}

impl Reader {
    fn note(&mut self, path: &[String]) {
        self.names.paths.push(self.scope.resolve(path));
    }

    /// Records the leaves of a `use` line, with their local names.
    fn import(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.import(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(before, tree));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                let called = before.last().cloned().unwrap_or_default();
                self.bind(called, before);
            }
            syn::UseTree::Name(name) => self.bind(name.ident.to_string(), &with(&name.ident)),
            syn::UseTree::Rename(rename) if rename.ident == "self" => {
                self.bind(rename.rename.to_string(), before);
            }
            syn::UseTree::Rename(rename) => {
                self.bind(rename.rename.to_string(), &with(&rename.ident));
            }
            syn::UseTree::Glob(_) => {
                let whole = self.scope.resolve(before);
                self.names.paths.push([whole, vec!["*".to_owned()]].concat());
            }
        }
    }

    fn bind(&mut self, called: String, path: &[String]) {
        let target = self.scope.resolve(path);
        self.names.paths.push(target.clone());
        self.scope.imported.insert(called, target);
    }

    /// Records the paths in the tokens of a macro, which `syn` does not parse.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.tokens(group.stream());
                }
                _ => self.end(&mut path),
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        if path.len() > 1 {
            self.note(path);
        }
        path.clear();
    }

    /// Reads a part with its own scope, then restores the scope.
    fn within(&mut self, module: Option<String>, read: impl FnOnce(&mut Self)) {
        let outside = self.scope.clone();
        if let Some(name) = module {
            self.scope = Scope::new([outside.module.clone(), vec![name]].concat());
        }
        read(self);
        self.scope = outside;
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_file(&mut self, file: &'ast syn::File) {
        // Reads the `use` lines first, because an imported name is known in the whole module, also
        // above its `use` line.
        for item in &file.items {
            if let syn::Item::Use(line) = item {
                self.visit_item_use(line);
            }
        }
        visit::visit_file(self, file);
    }

    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if self.with_tests || !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let Some((_, items)) = &item.content else { return };
        self.within(Some(item.ident.to_string()), |reader| {
            let uses = items.iter().filter_map(|item| match item {
                syn::Item::Use(line) => Some(line),
                _ => None,
            });
            uses.for_each(|line| reader.visit_item_use(line));
            items.iter().for_each(|item| reader.visit_item(item));
        });
    }

    fn visit_item_use(&mut self, line: &'ast syn::ItemUse) {
        if self.with_tests || !is_test(&line.attrs) {
            self.import(&[], &line.tree);
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.note(&[item.ident.to_string(), "*".to_owned()]);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.within(None, |reader| visit::visit_block(reader, block));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.note(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.segments.last() {
            self.names.macros.push(name.ident.to_string());
        }
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.names.is_async |= signature.asyncness.is_some();
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.names.is_async = true;
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.names.is_async = true;
        visit::visit_expr_await(self, expression);
    }
}
