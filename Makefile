# wtcache: a PostgreSQL extension that keeps Redis in step with tables.
#
# make, make install, make installcheck: as with any PGXS extension, also in
# another directory with -f and VPATH.  hiredis is where pkg-config says, or where
# the linker finds it.  installcheck needs redis-server; it starts one, unless
# WTC_REDIS_SOCKET names the socket of one, with test/regress.conf made to match.
# make check-style: the layer rules and other small mechanical checks.
# make indent: PostgreSQL's own formatting.

MODULE_big = wtcache
EXTENSION = wtcache
PGFILEDESC = "wtcache - transactional write-through cache"

# Files of the source, by their names in its directory.
here := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
files = $(patsubst $(here)/%,%,$(sort $(wildcard $(addprefix $(here)/,$(1)))))

OBJS = $(patsubst %.c,%.o,$(call files,src/*.c src/*/*.c))
DATA = $(call files,sql/$(EXTENSION)--*.sql)

REGRESS = $(patsubst sql/%.sql,%,$(filter-out $(DATA),$(call files,sql/*.sql)))
REGRESS_PREP = test/regress.conf
REGRESS_OPTS = --temp-instance=tmp_check_regress \
	--temp-config=test/regress.conf --load-extension=$(EXTENSION)
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(call files,test/isolation/specs/*.spec))
ISOLATION_OPTS = --temp-instance=tmp_check_iso \
	--temp-config=test/regress.conf --load-extension=$(EXTENSION) \
	--inputdir=$(here)/test/isolation
TAP_TESTS = 1

LUA = $(call files,src/redis/*.lua)
LUA_STRINGS = $(LUA:=.h)
EXTRA_CLEAN = $(LUA_STRINGS) test/regress.conf tmp_check_regress tmp_check_iso

PKG_CONFIG ?= pkg-config
sha1 = $(firstword $(shell sed '/^ *--/d' $(here)/$(1) | sha1sum))

# PostgreSQL would load a library that lacks hiredis, and end at its first use.
HIREDIS = -lhiredis
links_hiredis = $(shell echo 'void redisReaderFree(void *); int main(void) { redisReaderFree(0); }' | \
	$$($(PG_CONFIG) --cc) -x c -o /dev/null - $(LDFLAGS) $(HIREDIS) 2>/dev/null && echo $(HIREDIS))
hiredis = $(or $(shell $(PKG_CONFIG) --libs hiredis 2>/dev/null),$(links_hiredis),$(error \
	hiredis was not found: install pkg-config and the development files of hiredis \
	(Debian: libhiredis-dev), or set HIREDIS to the options that link it))

PG_CPPFLAGS = -I$(srcdir)/src $(if $(VPATH),-Isrc) -D_GNU_SOURCE
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
SHLIB_LINK = $(hiredis)
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

ifdef VPATH
$(shell mkdir -p test $(sort $(dir $(OBJS))))
endif

PROVE_TESTS ?= test/t/*.pl
PROVE_FLAGS += -I $(srcdir)/test/perl

# A Lua script as a C string, without its comments.
%.lua.h: %.lua
	sed -e '/^ *--/d' -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

src/redis/script.o: $(LUA_STRINGS)
src/redis/script.o: CPPFLAGS += -DWTC_DRAIN_SHA='"$(call sha1,src/redis/drain.lua)"' \
	-DWTC_FILL_SHA='"$(call sha1,src/redis/fill.lua)"' \
	-DWTC_FORGET_SHA='"$(call sha1,src/redis/forget.lua)"' \
	-DWTC_GET_SHA='"$(call sha1,src/redis/get.lua)"' \
	-DWTC_PRUNE_SHA='"$(call sha1,src/redis/prune.lua)"' \
	-DWTC_STORE_SHA='"$(call sha1,src/redis/store.lua)"'
$(OBJS): $(filter-out $(LUA_STRINGS),$(call files,src/*.h src/*/*.h))

ifndef WTC_REDIS_SOCKET
export WTC_REDIS_SOCKET := /tmp/wtcache-$(shell id -u)-$(shell echo $(abspath .) | cksum | cut -d' ' -f1).sock
installcheck: redis
endif

# For as long as this make runs.
.PHONY: redis
redis:
	@$(here)/test/redis-while $$PPID $(WTC_REDIS_SOCKET)

test/regress.conf:
	@printf '%s\n' "shared_preload_libraries = 'wtcache'" \
		"wtcache.url = 'unix://$(WTC_REDIS_SOCKET)'" \
		'max_prepared_transactions = 10' 'fsync = off' > $@

.PHONY: check-style indent
check-style:
	@test/check-style

indent:
	@test/indent
