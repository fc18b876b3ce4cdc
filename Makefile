# One command per job. Build output is cached in ~/.cache/evenhand (EVENHAND_CACHE, CARGO_TARGET_DIR change it) and may be deleted at any time.
.DEFAULT_GOAL := help
.PHONY: help run test check proof

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: ## build and serve the platform with a demo workspace on http://127.0.0.1:8787 (LISTEN=, DATA_DIR=)
	@ci/serve

test: ## install what the tests need (Debian, root), then everything that CI runs; minutes per stage at the end (STAGES="fmt unit" for some)
	@ci/stages test $(STAGES)

check: ## while working: format, clippy, unit tests, vectors; below 5 minutes when warm
	@ci/stages check $(STAGES)

proof: ## the long proofs at full size; figures with commit and seed go to proof/*.json (STAGES="oracle" for one)
	@ci/stages proof $(STAGES)
