# sluice - `make help` lists the targets, HACKING.md has the recipes.
#
# One Makefile, no recursion into folders. BUILD picks the flavour, OUT where it goes:
#   release  optimised, build/                san   address + undefined sanitizers, build-san/
#   tsan     thread sanitizer, build-tsan/    fuzz  clang, libFuzzer, build-fuzz/
# A change of compiler, flags or of the list of sources rebuilds what depends on it (the .stamp
# files below), a change of a header what includes it (-MMD).

VERSION := 0.1.0
BUILD   ?= release
PREFIX  ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
SYSUSERSDIR ?= /usr/lib/sysusers.d
DESTDIR ?=
SHELL   := /bin/bash

ifneq ($(filter-out release san tsan fuzz,$(BUILD)),)
$(error BUILD=$(BUILD): expected release, san, tsan or fuzz)
endif
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(BUILD)),clang,gcc)
endif
OUT := $(if $(filter release,$(BUILD)),build,build-$(BUILD))

# Parallel unless the caller said otherwise; each target's output stays in one piece.
ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j% --jobs%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --output-sync=target
endif

# Short lines by default, the commands with V=1.
Q    := $(if $(V),,@)
show = $(if $(V),@:,@printf '  %-5s %s\n' $(1) $(2))

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
        -Wformat=2 -Wundef -Wvla -Werror
BASE := -std=gnu17 -g -fno-common -fno-strict-aliasing -D_GNU_SOURCE -I. -pthread \
        -DSLUICE_VERSION='"$(VERSION)"'
HARDEN      := -fno-plt -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
SANITIZE    := -fsanitize=address,undefined -fno-sanitize-recover=all
OPT_release := -O2 $(HARDEN)
OPT_san     := -O1 -fno-omit-frame-pointer $(SANITIZE) -DSLUICE_DEBUG
# maybe-uninitialized: gcc sees ghosts in code that it has instrumented; the other flavours warn.
OPT_tsan    := -O1 -fno-omit-frame-pointer -fsanitize=thread -DSLUICE_DEBUG -Wno-maybe-uninitialized
OPT_fuzz    := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link $(SANITIZE) -DSLUICE_DEBUG
LD_release  := -pie -Wl,-z,relro,-z,now
LD_san      := -fsanitize=address,undefined
LD_tsan     := -fsanitize=thread
LD_fuzz     := -fsanitize=address,undefined
CFLAGS_ALL  := $(BASE) $(WARN) $(OPT_$(BUILD)) $(CFLAGS)
LIBS        := -luring -lconfig -lcares -lpcre2-8 -lnghttp2 -lssl -lcrypto -lcrypt -lseccomp -lm
LDFLAGS_ALL := -pthread $(LD_$(BUILD)) $(LDFLAGS)

MODULES  := lb/base lb/io lb/net lb/http lb/files lb/obs health balancing lb/upstream lb/route lb/filter lb/proxy lb/config lb/admin \
            lb/main
MAIN_SRC := lb/main/main.c
LIB_SRC  := $(filter-out $(MAIN_SRC),$(sort $(wildcard $(addsuffix /*.c,$(MODULES)))))
LIB_OBJ  := $(LIB_SRC:%.c=$(OUT)/%.o)
MAIN_OBJ := $(MAIN_SRC:%.c=$(OUT)/%.o)

# Unit and simulated tests: one cmocka program per tests/{unit,sim}/**/test_*.c.
TEST_SRC := $(sort $(shell find tests/unit tests/sim -name 'test_*.c' 2>/dev/null))
TEST_SUP := $(sort $(wildcard tests/support/*.c) $(filter-out tests/sim/test_%,$(wildcard tests/sim/*.c)))
TEST_SUP_OBJ := $(TEST_SUP:%.c=$(OUT)/%.o)
TEST_BIN := $(TEST_SRC:%.c=$(OUT)/%)

FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BIN := $(FUZZ_SRC:%.c=$(OUT)/%)
# Each once more with a main of its own, that runs it over its corpus: as a test.
SEED_BIN := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=$(OUT)/tests/seeds/%)
TEST_BIN += $(SEED_BIN)

# Benchmarks: bench_*.c measure a module of ours, the others are tools that need nothing of sluice.
BENCH_SRC  := $(sort $(wildcard tests/bench/*.c))
BENCH_OURS := $(patsubst %.c,$(OUT)/%,$(filter tests/bench/bench_%,$(BENCH_SRC)))
BENCH_BIN  := $(patsubst %.c,$(OUT)/%,$(filter-out tests/bench/bench_%,$(BENCH_SRC)))

ALL_OBJ := $(LIB_OBJ) $(MAIN_OBJ) $(TEST_SUP_OBJ) $(TEST_SRC:%.c=$(OUT)/%.o) $(FUZZ_SRC:%.c=$(OUT)/%.o) \
           $(BENCH_OURS:=.o) $(OUT)/tests/fuzz/seeds.o

.DEFAULT_GOAL := all
all: $(OUT)/sluice ## the program: optimised build/sluice (BUILD=san|tsan for the others)

$(OUT)/sluice: $(MAIN_OBJ) $(LIB_OBJ) $(OUT)/link.stamp
	$(call show,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(MAIN_OBJ) $(LIB_OBJ) $(LIBS)

$(OUT)/libsluice.a: $(LIB_OBJ) $(OUT)/link.stamp
	$(call show,AR,$@)
	@rm -f $@
	$(Q)ar qcs $@ $(LIB_OBJ) # q: two folders may have files of one name

$(OUT)/%.o: %.c $(OUT)/compile.stamp
	@mkdir -p $(@D)
	$(call show,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The assembler takes them in.
$(OUT)/lb/admin/dash_page.o: $(wildcard lb/admin/dashboard*)

# An archive, so that a unit test gets only what it names, and may stand in for a part of sluice.
$(OUT)/tests/libsupport.a: $(TEST_SUP_OBJ)
	$(call show,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(OUT)/tests/unit/%: $(OUT)/tests/unit/%.o $(OUT)/tests/libsupport.a $(OUT)/libsluice.a
	$(call show,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(OUT)/tests/libsupport.a $(OUT)/libsluice.a -lcmocka $(LIBS)

$(OUT)/tests/sim/%: $(OUT)/tests/sim/%.o $(TEST_SUP_OBJ) $(OUT)/libsluice.a
	$(call show,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(TEST_SUP_OBJ) $(OUT)/libsluice.a -lcmocka $(LIBS)

$(OUT)/tests/fuzz/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/libsluice.a
	$(call show,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $< $(OUT)/libsluice.a $(LIBS)

$(OUT)/tests/seeds/%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/tests/fuzz/seeds.o $(OUT)/libsluice.a
	@mkdir -p $(@D)
	$(call show,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka $(LIBS)

$(BENCH_OURS): $(OUT)/tests/bench/bench_%: $(OUT)/tests/bench/bench_%.o $(OUT)/libsluice.a
	$(call show,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(OUT)/libsluice.a $(LIBS)

$(BENCH_BIN): $(OUT)/tests/bench/%: tests/bench/%.c $(OUT)/compile.stamp
	@mkdir -p $(@D)
	$(call show,CC,$<)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< -lssl -lcrypto -lm

-include $(ALL_OBJ:.o=.d) $(BENCH_BIN:=.d)

# Stamps are rewritten only when their content changes, and what depends on them is made anew then.
define stamp
@mkdir -p $(@D)
@printf '%s\n' $(1) | cmp -s - $@ || printf '%s\n' $(1) > $@
endef
$(OUT)/compile.stamp: FORCE
	$(call stamp,'$(subst ','\'',$(CC) $(CFLAGS_ALL))')
$(OUT)/link.stamp: FORCE
	$(call stamp,'$(subst ','\'',$(CC) $(LDFLAGS_ALL) $(LIBS) $(LIB_OBJ) $(MAIN_OBJ))')
FORCE:

# ---- tests ----

unit: $(TEST_BIN) ## build the unit and simulated tests (run: scripts/test.sh unit)
fuzzers: $(FUZZ_BIN)
bench-programs: $(BENCH_BIN)
bench-modules: $(BENCH_OURS) ## build the benchmarks of single modules: build/tests/bench/bench_*
.SECONDARY:

# The stages run one after the other, each parallel in itself; scripts/test.sh counts. The + keeps
# make from holding their output back until the end.
test: ## everything, with sanitizers; ends with "N passed, N failed" (ONLY="unit e2e" for a part)
	@+scripts/setup.sh test
	@+scripts/test.sh $(ONLY)

test-stacks: ## real application servers, browsers, packages: heavy installs; ends as test does
	@+scripts/setup.sh stacks
	@+scripts/test.sh --stacks

tsan: ## unit, simulated and end-to-end tests under the thread sanitizer
	@+scripts/setup.sh test
	@+scripts/test.sh --tsan $(ONLY)

test-kernels: ## the tests on the kernels of Debian 12 and 13, emulated: an hour or more (ONLY=bookworm K=regex J=2)
	@+scripts/setup.sh test
	@+scripts/setup.sh kernels
	@+$(MAKE) --no-print-directory BUILD=release all unit
	@+K='$(K)' J='$(J)' scripts/kernels.sh $(ONLY)

FUZZ_TIME ?= 30
fuzz: ## each fuzz target for FUZZ_TIME seconds (30); ONLY=name for one
	@+scripts/setup.sh fuzz
	@+$(MAKE) --no-print-directory BUILD=fuzz fuzzers
	@+FUZZ_TIME=$(FUZZ_TIME) scripts/fuzz.sh $(ONLY)

bench: ## compare with HAProxy and nginx: ROUNDS=3 SECONDS=4 ONLY="small bulk"
	@+scripts/setup.sh bench
	@+$(MAKE) --no-print-directory BUILD=release all bench-programs
	@+ROUNDS='$(ROUNDS)' BENCH_SECONDS='$(SECONDS)' scripts/bench/bench.py $(ONLY)

demo: ## three backends behind sluice, one of them dies: see that nobody notices
	@+scripts/setup.sh build
	@+$(MAKE) --no-print-directory BUILD=release all
	@+scripts/demo.sh

# ---- source care ----

OUR_C = $(shell find lb health balancing tests -name '*.[ch]')
CLANG_FORMAT ?= $(firstword $(shell command -v clang-format-14 clang-format 2>/dev/null))

format: ## lay out all C files by .clang-format
	@test -n "$(CLANG_FORMAT)" || { echo "format: clang-format-14 is missing (scripts/setup.sh test)"; exit 1; }
	$(CLANG_FORMAT) -i $(OUR_C)

# Another version of clang-format lays some lines out differently, so only version 14 may judge.
format-check: ## say which files differ from .clang-format
	@if command -v clang-format-14 >/dev/null; then \
	    clang-format-14 --dry-run -Werror $(OUR_C); \
	else echo "format-check: skipped, clang-format-14 is not here"; fi

# clang-tidy by file, remembered: only what changed (or includes what changed) is looked at again.
CLANG_TIDY ?= $(firstword $(shell command -v clang-tidy-14 clang-tidy 2>/dev/null))
TIDY_SRC := $(LIB_SRC) $(MAIN_SRC)
lint: $(TIDY_SRC:%.c=$(OUT)/%.tidy) ## clang-tidy with .clang-tidy
$(OUT)/%.tidy: %.c $(OUT)/%.o .clang-tidy
	@test -n "$(CLANG_TIDY)" || { echo "lint: clang-tidy is missing (scripts/setup.sh test)"; exit 1; }
	@$(CLANG_TIDY) --quiet $< -- $(BASE) -Wall -Wextra -Wno-unknown-warning-option 2>$@.err \
	    || { grep -v ' warnings\? ' $@.err; exit 1; }
	@rm -f $@.err; touch $@

# What is printed from tables in the code: settings (lb/config/schema.c), commands (lb/admin/commands.c).
docs: $(OUT)/sluice ## print etc/sluice.conf, the reference and manual pages anew, after a change of settings or commands
	$(OUT)/sluice --print-sample > etc/sluice.conf
	$(OUT)/sluice --print-reference > etc/docs/reference.md
	$(OUT)/sluice --print-manual > etc/man/sluice.conf.5
	$(OUT)/sluice --print-ctl-manual > etc/man/sluice-ctl.1
	scripts/metrics-page.py $(OUT)/sluice > $(OUT)/metrics.md && mv $(OUT)/metrics.md etc/docs/metrics.md

check-includes: ## each folder includes only what its .may_include allows
	@scripts/check-includes.sh

long-functions: ## the longest functions, longest first
	@scripts/long-functions.sh

# ---- installation ----

# FILE:MODE:FOLDER[/NAME] of all that is installed beside the binary.
SHARE   := $(PREFIX)/share
INSTALL := etc/man/sluice.8:644:$(SHARE)/man/man8/ etc/man/sluice.conf.5:644:$(SHARE)/man/man5/ \
           etc/man/sluice-ctl.1:644:$(SHARE)/man/man1/ \
           etc/completion/sluice.bash:644:$(SHARE)/bash-completion/completions/sluice \
           etc/completion/_sluice:644:$(SHARE)/zsh/vendor-completions/ \
           etc/systemd/sluice.service:644:$(UNITDIR)/ \
           etc/systemd/sluice.sysusers:644:$(SYSUSERSDIR)/sluice.conf \
           etc/logrotate/sluice:644:$(SYSCONFDIR)/logrotate.d/ \
           etc/sluice.conf:644:$(SYSCONFDIR)/sluice/sluice.conf.sample \
           etc/systemd/sluice.socket:644:$(SHARE)/doc/sluice/ README.md:644:$(SHARE)/doc/sluice/ \
           $(foreach f,$(wildcard etc/docs/*.md),$f:644:$(SHARE)/doc/sluice/) \
           $(foreach f,$(wildcard etc/docs/stacks/*.md),$f:644:$(SHARE)/doc/sluice/stacks/) \
           $(foreach f,etc/demo.conf $(wildcard etc/examples/*.conf),$f:644:$(SHARE)/doc/sluice/examples/)
parts       = $(subst :, ,$1)
installed_as = $(DESTDIR)$(word 3,$(call parts,$1))$(if $(filter %/,$1),$(notdir $(word 1,$(call parts,$1))))

install: $(OUT)/sluice ## binary, manual pages, completion, systemd unit, sample configuration (PREFIX, DESTDIR)
	install -D -m 755 $(OUT)/sluice $(DESTDIR)$(PREFIX)/sbin/sluice
	@$(MAKE) --no-print-directory install-shared

# All but the binary.
install-shared:
	$(foreach i,$(INSTALL),install -D -m $(word 2,$(call parts,$i)) $(word 1,$(call parts,$i)) $(call installed_as,$i) &&) true
	sed -i 's|/usr/sbin/sluice|$(PREFIX)/sbin/sluice|' $(DESTDIR)$(UNITDIR)/sluice.service

uninstall: ## removes what install put there; your own configuration stays
	rm -f $(DESTDIR)$(PREFIX)/sbin/sluice $(foreach i,$(INSTALL),$(call installed_as,$i))
	-rmdir -p --ignore-fail-on-non-empty $(DESTDIR)$(SHARE)/doc/sluice/examples $(DESTDIR)$(SHARE)/doc/sluice/stacks $(DESTDIR)$(SYSCONFDIR)/sluice 2>/dev/null

deb: ## a Debian package in build/, from the release build
	@+scripts/setup.sh build
	@+$(MAKE) --no-print-directory BUILD=release all
	@+etc/debian/build.sh $(OUT)/sluice $(VERSION) $(OUT)

clean: ## remove build folders
	rm -rf build build-*

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: all unit fuzzers bench-programs bench-modules test test-kernels tsan fuzz bench demo format format-check lint \
        check-includes long-functions docs install install-shared uninstall deb clean help FORCE
