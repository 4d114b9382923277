# sluice - see HACKING.md for the recipes.
#
#   make            optimised build/sluice
#   make test       everything: unit, simulated, end-to-end, includes, linters (sanitizers on)
#   make BUILD=san  sanitizer build in build-san/ (also: tsan, fuzz)

CC      ?= gcc
BUILD   ?= release
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0

OUT := $(if $(filter release,$(BUILD)),build,build-$(BUILD))

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
        -Wformat=2 -Wundef -Wvla -Werror
BASE := -std=gnu17 -g -fno-common -fno-strict-aliasing -D_GNU_SOURCE -I. -pthread \
        -DSLUICE_VERSION='"$(VERSION)"'
OPT_release := -O2 -fno-plt -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
OPT_san     := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
               -fno-sanitize-recover=all -DSLUICE_DEBUG
OPT_tsan    := -O1 -fno-omit-frame-pointer -fsanitize=thread -DSLUICE_DEBUG
LD_release  := -pie -Wl,-z,relro,-z,now
LD_san      := -fsanitize=address,undefined
LD_tsan     := -fsanitize=thread
CFLAGS_ALL  := $(BASE) $(WARN) $(OPT_$(BUILD)) $(CFLAGS)
LIBS        := -luring -lconfig -lcares -lm
LDFLAGS_ALL := -pthread $(LD_$(BUILD)) $(LDFLAGS)

MODULES  := lb/base lb/io lb/net lb/obs health balancing lb/upstream lb/proxy lb/config lb/admin
LIB_SRC  := $(sort $(wildcard $(addsuffix /*.c,$(MODULES))))
MAIN_SRC := $(sort $(wildcard lb/main/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(OUT)/%.o)
MAIN_OBJ := $(MAIN_SRC:%.c=$(OUT)/%.o)

all: $(OUT)/sluice

$(OUT)/sluice: $(MAIN_OBJ) $(LIB_OBJ)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(OUT)/libsluice.a: $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(LIB_OBJ:.o=.d) $(MAIN_OBJ:.o=.d)

# Unit and simulated tests: one cmocka program per tests/{unit,sim}/**/test_*.c.
TEST_SRC := $(sort $(shell find tests/unit tests/sim -name 'test_*.c' 2>/dev/null))
TEST_SUP := $(sort $(wildcard tests/support/*.c) $(filter-out tests/sim/test_%,$(wildcard tests/sim/*.c)))
TEST_SUP_OBJ := $(TEST_SUP:%.c=$(OUT)/%.o)
TEST_BIN := $(TEST_SRC:%.c=$(OUT)/%)

$(OUT)/tests/%: $(OUT)/tests/%.o $(TEST_SUP_OBJ) $(OUT)/libsluice.a
	$(CC) $(LDFLAGS_ALL) -o $@ $< $(TEST_SUP_OBJ) $(OUT)/libsluice.a -lcmocka $(LIBS)

.SECONDARY:
-include $(TEST_SRC:%.c=$(OUT)/%.d) $(TEST_SUP:%.c=$(OUT)/%.d)

unit: $(TEST_BIN)

clean:
	rm -rf build build-*

.PHONY: all unit clean
