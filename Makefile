# wtcache: a PostgreSQL extension that keeps Redis in step with tables.
#
# make, make install, make installcheck: as with any PGXS extension.
# make check-style: the layer rules and other small mechanical checks.
# make indent: PostgreSQL's own formatting.

MODULE_big = wtcache
EXTENSION = wtcache
PGFILEDESC = "wtcache - transactional write-through cache"

SRCS = $(sort $(wildcard src/*.c src/*/*.c))
OBJS = $(SRCS:.c=.o)
DATA = $(wildcard sql/$(EXTENSION)--*.sql)

REGRESS = $(patsubst sql/%.sql,%,$(filter-out sql/$(EXTENSION)--%,$(sort $(wildcard sql/*.sql))))
REGRESS_OPTS = --temp-instance=tmp_check_regress \
	--temp-config=test/regress.conf --load-extension=$(EXTENSION)
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --temp-instance=tmp_check_iso \
	--temp-config=test/regress.conf --load-extension=$(EXTENSION) \
	--inputdir=test/isolation
TAP_TESTS = 1

LUA = $(sort $(wildcard src/redis/*.lua))
LUA_STRINGS = $(LUA:=.h)
EXTRA_CLEAN = $(LUA_STRINGS) test/regress.conf tmp_check_regress tmp_check_iso

PKG_CONFIG ?= pkg-config
sha1 = $(firstword $(shell sed '/^ *--/d' $(1) | sha1sum))

PG_CPPFLAGS = -I$(srcdir)/src -D_GNU_SOURCE
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs hiredis)
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

PROVE_TESTS ?= test/t/*.pl
PROVE_FLAGS += -I $(srcdir)/test/perl

# A Lua script as a C string, without its comments.
%.lua.h: %.lua
	sed -e '/^ *--/d' -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

src/redis/script.o: $(LUA_STRINGS)
src/redis/script.o: CPPFLAGS += -DWTC_DRAIN_SHA='"$(call sha1,src/redis/drain.lua)"' \
	-DWTC_FORGET_SHA='"$(call sha1,src/redis/forget.lua)"' \
	-DWTC_PRUNE_SHA='"$(call sha1,src/redis/prune.lua)"'
$(OBJS): $(wildcard src/*.h src/*/*.h)

.PHONY: check-style indent
check-style:
	@test/check-style

indent:
	@test/indent
