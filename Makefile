# `make help` says what there is. Needs GNU make, cargo (Rust with rustup), git and python3.

CARGO ?= cargo
# Arguments for `host run` in `make demo`, say ARGS='--agent wrong'.
ARGS ?=

SCRIPTS := .ci/run .ci/agents.sh .ci/languages.sh .ci/junit-xsd .ci/workflows $(wildcard plugins/*.sh)

.DEFAULT_GOAL := help

# cargo would take make's job server for its own and warn that it is not there.
unexport MAKEFLAGS MFLAGS MAKELEVEL

.PHONY: help demo build plugins test test-agents bench-agents test-languages test-workflows lint clean tools

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: plugins build ## Build everything and run all scenarios with their scripted agents
	target/release/host run plugins/*.wasm $(ARGS)

build: tools ## Build the host (target/release/host)
	$(CARGO) build --release --locked -p scenario-host

plugins: tools ## Build the plugins (plugins/*.wasm), with a toolchain for them where needed
	@plugins/toolchain.sh
	plugins/build.sh

test: plugins ## Run all tests: of the plugins, natively, then of the host
	cd plugins && $(CARGO) test --locked
	$(CARGO) test --locked --workspace

test-agents: tools ## Test with the real agents (Claude Code, Codex, Pi), installed from npm into .agents/
	CARGO='$(CARGO)' .ci/agents.sh

bench-agents: tools ## Measure what the host adds to the start of the real agents (PAIRS=30 starts of each)
	CARGO='$(CARGO)' .ci/agents.sh bench

test-workflows: plugins ## Check workflows and action, with linters from PyPI, and run the action's steps
	CARGO='$(CARGO)' .ci/workflows

test-languages: plugins ## Test `host new` in Rust, C, Go, JavaScript and Python, with tools from PyPI and npm in .languages/
	CARGO='$(CARGO)' .ci/languages.sh

lint: tools ## Check formatting, lints, documentation and scripts
	@for script in $(SCRIPTS); do bash -n "$$script" || exit 1; done
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo 'lint: no shellcheck here, scripts are only parsed'; fi
	.ci/structure
	$(CARGO) fmt --all --check
	cd plugins && $(CARGO) fmt --all --check
	cd host/cli/tests/acp-agent && $(CARGO) fmt --check
	cd plugins && $(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --locked --no-deps --workspace

clean: ## Remove all that was built, the plugins' toolchain too
	rm -rf target plugins/target plugins/*.wasm .agents .languages

tools:
	@for tool in $(CARGO) git python3; do \
		command -v "$$tool" >/dev/null || { \
			case $$tool in \
				git | python3) how="with your system's packages" ;; \
				*) how='Rust 1.95 or newer, with rustup' ;; \
			esac; \
			echo "make: $$tool is missing: install it ($$how)" >&2; exit 1; \
		}; \
	done
