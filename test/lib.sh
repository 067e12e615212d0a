# test/lib.sh
#	  Shell functions that test/run, test/demo, test/matrix and test/bench share.
#
# To be sourced by bash, with "set -euo pipefail" in force.  Nothing that is
# installed on the machine is changed, apart from packages being added, and
# Prometheus and libraries for Node.js in /usr/local/lib/wtcache-tests:
#
#	wtc_packages		install what is missing (no apt call if nothing is)
#	wtc_get PACKAGE...	install what only some want
#	wtc_watch_tools		unpack Prometheus and its exporter, if they are missing
#	wtc_client_libraries	install what the clients for applications are for
#	wtc_work			work directory and unprivileged user
#	wtc_prefix			private copy of PostgreSQL, so that "make install" goes there
#	wtc_copy_tree		copy of this source tree, owned by the unprivileged user
#	wtc_build [VAR=...]	make and make install into the private prefix
#	wtc_setup [VAR=...]	all of the above, in this order
#	wtc_as CMD...		run a command as the unprivileged user
#	wtc_redis_start [DIR [OPTION...]], wtc_redis_stop [DIR [ARG...]], wtc_redis
#	wtc_pg_start [DIR [SETTING...]], wtc_pg_stop [DIR [MODE]], wtc_psql
#	wtc_cleanup			stop what was started, remove the work directory
#
# What comes in from the environment:
#	CACHE_SERVER		redis (default) or valkey
#	WTC_PG_CONFIG		pg_config of the PostgreSQL to use; default: the newest
#						one of Debian's layout that has its server headers
#	WTC_WORK			work directory to use, which is then not removed
#	WTC_KEEP=1			do not remove the work directory
#
# What is set for the caller: WTC_WORK, WTC_RUN (short directory for sockets),
# WTC_SRC (copy of the tree), PG_CONFIG (of the private prefix),
# WTC_REDIS_SOCKET, WTC_PG_HOST (socket directory), WTC_USER.  redis-server and
# redis-cli in the PATH are the selected server's, whatever its own name is.

WTC_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE_SERVER=${CACHE_SERVER:-redis}
WTC_TIMEOUT=${WTC_TIMEOUT:-60}
wtc_pg_dirs=()
wtc_redis_dirs=()
wtc_removable=()

wtc_say() { printf '== %s\n' "$*"; }
wtc_die() { printf 'wtcache: %s\n' "$*" >&2; exit 1; }

# Poll until a command succeeds; the one place that sleeps.
wtc_until()
{
	local deadline=$((SECONDS + WTC_TIMEOUT))

	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || return 1
		sleep 0.05
	done
}

# ---------------------------------------------------------------------------
# Packages
# ---------------------------------------------------------------------------

case $CACHE_SERVER in
	redis|valkey) ;;
	*) wtc_die "CACHE_SERVER must be redis or valkey, not \"$CACHE_SERVER\"" ;;
esac

# The server's binary.  Debian has it in the -tools package, under the name of
# the RDB checker (one binary, which goes by its name), and only a link in the
# -server package.  We use that: the -server package would enable a service.
wtc_find_server()
{
	command -v "$CACHE_SERVER-server" || command -v "$CACHE_SERVER-check-rdb"
}

# The newest installed PostgreSQL that an extension can be built for.
wtc_find_pg_config()
{
	local d

	if [[ -n ${WTC_PG_CONFIG:-} ]]; then
		[[ -x $WTC_PG_CONFIG ]] || return 1
		echo "$WTC_PG_CONFIG"
		return
	fi
	for d in $(ls -d /usr/lib/postgresql/*/ 2>/dev/null | sort -t/ -k5 -nr); do
		if [[ -x ${d}bin/postgres && -x ${d}bin/pg_config &&
			-e ${d}lib/pgxs/src/makefiles/pgxs.mk &&
			-e $("${d}bin/pg_config" --includedir-server)/postgres.h ]]; then
			echo "${d}bin/pg_config"
			return
		fi
	done
	return 1
}

# The package of a logical decoder that a test reads our messages with, for a
# major version of Debian's PostgreSQL, if it is missing and apt has it.
wtc_decoder()
{
	[[ -e /usr/lib/postgresql/$1/lib/wal2json.so ]] ||
		apt-cache search --names-only "^postgresql-$1-wal2json\$" 2>/dev/null |
		cut -d' ' -f1
}

# Print the packages that are missing; the PostgreSQL ones without a version.
wtc_missing()
{
	local config

	command -v gcc >/dev/null || echo gcc libc6-dev
	command -v make >/dev/null || echo make
	command -v pkg-config >/dev/null || echo pkg-config
	pkg-config --exists hiredis 2>/dev/null || echo libhiredis-dev
	if ! config=$(wtc_find_pg_config); then
		echo postgresql-N
	elif [[ $config =~ ^/usr/lib/postgresql/([0-9]+)/ ]]; then
		wtc_decoder "${BASH_REMATCH[1]}"
	fi
	[[ -e $(pg_config --includedir 2>/dev/null)/libpq-fe.h ||
		-e /usr/include/postgresql/libpq-fe.h ]] || echo libpq-dev
	{ wtc_find_server && command -v "$CACHE_SERVER-cli"; } >/dev/null ||
		echo "$CACHE_SERVER-tools"
	command -v prove >/dev/null || echo perl
	perl -MIPC::Run -e1 2>/dev/null || echo libipc-run-perl
	command -v ps >/dev/null || echo procps
}

# Install packages; runs as root.  They create no database cluster and start no
# service: the two files that see to it are removed again.
wtc_install()
{
	local log=$1 policy=/usr/sbin/policy-rc.d
	local cluster=/etc/postgresql-common/createcluster.d/wtcache-tests.conf
	local undo="rm -f $cluster" try

	shift
	if [[ ! -e $policy ]]; then
		undo+=" $policy"
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	trap "$undo" EXIT
	trap 'exit 1' INT TERM HUP
	mkdir -p "${cluster%/*}"
	echo 'create_main_cluster = false' >$cluster
	for try in 1 2; do
		DEBIAN_FRONTEND=noninteractive apt-get -y -q --no-install-recommends \
			install "$@" </dev/null >>"$log" 2>&1 && return
		# Unknown or outdated package lists?
		((try == 2)) || apt-get -q update >>"$log" 2>&1 || true
	done
	return 1
}

# wtc_get PACKAGE...: install packages, or say why not and return 1.
wtc_get()
{
	local log root=()

	if ! command -v apt-get >/dev/null; then
		echo "missing, and there is no apt-get to install it: $*" >&2
		return 1
	fi
	if ((EUID != 0)); then
		if ! command -v sudo >/dev/null; then
			echo "neither root nor sudo to install: $*" >&2
			return 1
		fi
		root=(sudo)
	fi
	wtc_say "installing packages: $*"
	log=$(mktemp /tmp/wtcache-apt.XXXXXX)
	if ! "${root[@]}" bash -c "$(declare -f wtc_install); wtc_install \"\$@\"" \
		bash "$log" "$@"; then
		tail -n 20 "$log" >&2
		echo "could not install: $* (see $log)" >&2
		return 1
	fi
	rm -f "$log"
	hash -r
}

wtc_packages()
{
	local missing major

	missing=$(wtc_missing | tr '\n' ' ')
	[[ -n $missing ]] || return 0

	if [[ $missing == *postgresql-N* ]]; then
		[[ -z ${WTC_PG_CONFIG:-} ]] || wtc_die "no such file: $WTC_PG_CONFIG"
		major=$(wtc_debian_major)
		if [[ -z $major ]]; then
			$( ((EUID == 0)) || echo sudo) apt-get -qq update || true
			major=$(wtc_debian_major)
		fi
		[[ -n $major ]] || wtc_die "apt knows no package \"postgresql\""
		missing=${missing/postgresql-N/postgresql-$major postgresql-server-dev-$major}
		missing+=" $(wtc_decoder "$major")"
	fi

	wtc_get $missing || exit 1
	missing=$(wtc_missing | tr '\n' ' ')
	[[ -z $missing ]] || wtc_die "still missing after installation: $missing"
}

# Prometheus, promtool and the exporter for PostgreSQL are unpacked into a
# folder of ours: their packages would add users and enable services, and want
# a dozen others.  The programs need nothing but libc.
WTC_TOOLS=/usr/local/lib/wtcache-tests

wtc_watch_missing()
{
	local tool

	for tool in prometheus promtool prometheus-postgres-exporter; do
		[[ -x $WTC_TOOLS/$tool ]] || command -v "$tool" >/dev/null || return 0
	done
	return 1
}

# Runs as root.
wtc_unpack()
{
	local log=$1 into=$2 tmp try deb

	shift 2
	tmp=$(mktemp -d)
	trap "rm -rf $tmp" EXIT
	cd "$tmp"
	for try in 1 2; do
		# Up to Debian 12 promtool is part of prometheus.
		if apt-get -q download "$@" >>"$log" 2>&1 &&
			{ [[ -z $(apt-cache search --names-only '^promtool$') ]] ||
				apt-get -q download promtool >>"$log" 2>&1; }; then
			break
		fi
		# Unknown or outdated package lists?
		((try == 1)) || return 1
		apt-get -q update >>"$log" 2>&1 || true
	done
	for deb in *.deb; do
		dpkg -x "$deb" . >>"$log" 2>&1 || return 1
	done
	install -D -m 755 -t "$into" usr/bin/* >>"$log" 2>&1
}

wtc_watch_tools()
{
	local log packages=(prometheus prometheus-postgres-exporter) root=()

	PATH=$PATH:$WTC_TOOLS
	wtc_watch_missing || return 0
	command -v apt-get >/dev/null ||
		wtc_die "missing, and there is no apt-get to fetch it: ${packages[*]}"
	((EUID == 0)) || root=(sudo)
	wtc_say "unpacking packages: ${packages[*]}"
	log=$(mktemp /tmp/wtcache-apt.XXXXXX)
	if ! "${root[@]}" bash -c "$(declare -f wtc_unpack); wtc_unpack \"\$@\"" \
		bash "$log" "$WTC_TOOLS" "${packages[@]}" || wtc_watch_missing; then
		tail -n 20 "$log" >&2
		wtc_die "could not unpack: ${packages[*]} (see $log)"
	fi
	rm -f "$log"
}

# The clients' libraries for Node.js go into a folder of ours, the others are
# packages.  Where there is no registry for npm, tests leave JavaScript out.
wtc_client_libraries()
{
	local missing=() root=() log

	command -v node >/dev/null || missing+=(nodejs)
	command -v npm >/dev/null || missing+=(npm)
	/usr/bin/python3 -c 'import redis, psycopg, django, psycopg2' 2>/dev/null ||
		missing+=(python3-redis python3-psycopg python3-django python3-psycopg2)
	php -r 'extension_loaded("redis") && extension_loaded("pdo_pgsql") or exit(1);
		require "Predis/Autoloader.php"; require "Illuminate/Database/autoload.php";
		require "Illuminate/Redis/autoload.php";' >/dev/null 2>&1 ||
		missing+=(php-cli php-redis php-pgsql php-nrk-predis php-illuminate-database
			php-illuminate-redis)
	((${#missing[@]} == 0)) || wtc_get "${missing[@]}" || exit 1

	[[ ! -e $WTC_TOOLS/node_modules/redis ]] || return 0
	((EUID == 0)) || root=(sudo)
	wtc_say "installing libraries for Node.js"
	log=$(mktemp /tmp/wtcache-npm.XXXXXX)
	if ! "${root[@]}" npm install --prefix "$WTC_TOOLS" --ignore-scripts --no-audit \
		--no-fund --no-save ioredis@6 pg@8 redis@6 >"$log" 2>&1; then
		tail -n 5 "$log" >&2
		wtc_say "JavaScript is left out: no libraries for it (see $log)"
		return 0
	fi
	rm -f "$log"
}

wtc_debian_major()
{
	apt-cache depends postgresql 2>/dev/null |
		sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1
}

# ---------------------------------------------------------------------------
# Work directory, user, private prefix
# ---------------------------------------------------------------------------

wtc_work()
{
	WTC_USER=$(id -un)
	if ((EUID == 0)); then
		WTC_USER=nobody
		! id -u postgres >/dev/null 2>&1 || WTC_USER=postgres
	fi
	if [[ -n ${WTC_WORK:-} ]]; then
		mkdir -p "$WTC_WORK"
		WTC_WORK=$(cd "$WTC_WORK" && pwd)
	else
		WTC_WORK=$(mktemp -d /var/tmp/wtcache.XXXXXX)
		wtc_removable+=("$WTC_WORK")
	fi
	# A socket's path must stay short, hence a directory of its own.
	WTC_RUN=$(mktemp -d /tmp/wtc.XXXXXX)
	wtc_removable+=("$WTC_RUN")
	mkdir -p "$WTC_WORK/bin" "$WTC_WORK/home"
	chmod 755 "$WTC_WORK"
	if ((EUID == 0)); then
		chown "$WTC_USER": "$WTC_WORK" "$WTC_WORK/home" "$WTC_RUN"
	fi

	ln -sf "$(wtc_find_server)" "$WTC_WORK/bin/redis-server"
	ln -sf "$(command -v "$CACHE_SERVER-cli")" "$WTC_WORK/bin/redis-cli"
	export PATH="$WTC_WORK/bin:$PATH"
	export WTC_WORK WTC_RUN WTC_USER CACHE_SERVER

	# Settings of the caller's must not lead us to the caller's servers.
	local var

	for var in "${!PG@}"; do
		[[ $var == PG_TEST_* ]] || unset "$var"
	done
	unset REDISCLI_AUTH MAKEFLAGS MAKELEVEL
	export LC_ALL=C
}

# Run a command as the unprivileged user, in a directory it can read.
wtc_as()
{
	local as=()

	((EUID != 0)) || as=(runuser -u "$WTC_USER" --)
	(
		cd "${WTC_CWD:-$WTC_WORK}"
		exec "${as[@]}" env HOME="$WTC_WORK/home" "$@"
	)
}

# PostgreSQL finds its files relative to its binary, so a copy that keeps the
# directories' relation to each other is an installation of its own.
wtc_prefix()
{
	local config dir where

	config=$(wtc_find_pg_config)
	where=$WTC_WORK/prefix
	PG_CONFIG=$where$("$config" --bindir)/pg_config
	WTC_PG_BIN=${PG_CONFIG%/*}
	if [[ ! -x $PG_CONFIG ]]; then
		dir=$(dirname "$("$config" --bindir)")
		mkdir -p "$where$(dirname "$dir")"
		cp -a "$dir" "$where$dir"
		dir=$("$config" --sharedir)
		if [[ ! -e $where$dir ]]; then
			mkdir -p "$where$(dirname "$dir")"
			cp -a "$dir" "$where$dir"
		fi
		# What is only read may be a link.
		for dir in "$("$config" --includedir)" "$("$config" --includedir-server)" \
			"$("$config" --libdir)" "$("$config" --localedir)"; do
			if [[ -e $dir && ! -e $where$dir ]]; then
				mkdir -p "$where$(dirname "$dir")"
				ln -s "$dir" "$where$dir"
			fi
		done
		((EUID != 0)) || chown -R "$WTC_USER": "$where"
	fi
	[[ $("$PG_CONFIG" --pkglibdir) == "$where"* &&
		$("$PG_CONFIG" --sharedir) == "$where"* ]] ||
		wtc_die "$config cannot be relocated"
	export PG_CONFIG WTC_PG_BIN
	export PATH="$WTC_WORK/bin:$WTC_PG_BIN:${PATH#"$WTC_WORK/bin:"}"
}

wtc_copy_tree()
{
	WTC_SRC=$WTC_WORK/src
	rm -rf "$WTC_SRC"
	wtc_as mkdir -p "$WTC_SRC"
	# Neither history nor what an earlier build left
	tar -C "$WTC_TOP" -c --exclude=./.git --exclude='*.o' --exclude='*.bc' \
		--exclude='*.so' --exclude='./tmp_check*' --exclude=./results \
		--exclude='./output_iso' --exclude=./log . |
		wtc_as tar -C "$WTC_SRC" -x --no-same-owner --no-same-permissions
	export WTC_SRC
}

# make in the copy of the tree
wtc_make()
{
	WTC_CWD=$WTC_SRC wtc_as make PG_CONFIG="$PG_CONFIG" "$@"
}

wtc_build()
{
	local log=$WTC_WORK/build.log

	# No bitcode: it would double the time, and nothing here inlines it.
	if ! { wtc_make -j"$(nproc)" with_llvm=no "$@" all &&
		wtc_make with_llvm=no "$@" install; } >"$log" 2>&1; then
		cat "$log" >&2
		return 1
	fi
}

wtc_versions()
{
	printf '%s, %s, hiredis %s\n' "$("$PG_CONFIG" --version | cut -d' ' -f1-2)" \
		"$(redis-server --version |
			sed 's/^\([A-Za-z]*\) server v=\([^ ]*\).*/\1 \2/;s/^Server/Valkey/')" \
		"$(pkg-config --modversion hiredis)"
}

wtc_setup()
{
	wtc_packages
	wtc_work
	wtc_prefix
	wtc_copy_tree
	wtc_say "$(wtc_versions), as user $WTC_USER in $WTC_WORK"
	wtc_build "$@" || wtc_die "the build failed"
}

# ---------------------------------------------------------------------------
# Redis
# ---------------------------------------------------------------------------

# wtc_redis_start [DIR [OPTION...]]: start a Redis that only listens on a unix
# socket, DIR/redis.sock.  If DIR holds a dump of an earlier run it is loaded.
# Options are those of redis-server, e.g. --port 0.
wtc_redis_start()
{
	local dir=${1:-$WTC_RUN/redis}

	(($# == 0)) || shift
	WTC_REDIS_SOCKET=$dir/redis.sock
	export WTC_REDIS_SOCKET
	wtc_as mkdir -p "$dir"
	wtc_as redis-server --port 0 --unixsocket "$WTC_REDIS_SOCKET" \
		--unixsocketperm 700 --daemonize yes --pidfile "$dir/redis.pid" \
		--logfile "$dir/redis.log" --dir "$dir" --save '' --appendonly no \
		"$@" >/dev/null
	wtc_redis_dirs+=("$dir")
	if ! wtc_until wtc_redis_up "$WTC_REDIS_SOCKET"; then
		tail -n 20 "$dir/redis.log" >&2
		wtc_die "the Redis server did not start"
	fi
}

wtc_redis_up() { [[ $(redis-cli -s "$1" ping) == PONG ]]; }

# A process that has ended; in a container nobody may have buried it.
wtc_gone() { [[ ! -e /proc/$1 ]] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status"; }

# wtc_redis_stop [DIR [save]]: stop it, and leave a dump behind if told so.
wtc_redis_stop()
{
	local dir=${1:-$WTC_RUN/redis} pid

	[[ -e $dir/redis.pid ]] || return 0
	pid=$(cat "$dir/redis.pid")
	redis-cli -s "$dir/redis.sock" shutdown "${2:-nosave}" >/dev/null 2>&1 || true
	if ! WTC_TIMEOUT=10 wtc_until wtc_gone "$pid"; then
		kill -CONT "$pid" && kill -KILL "$pid"
		wtc_until wtc_gone "$pid"
	fi
	rm -f "$dir/redis.pid"
}

wtc_redis() { redis-cli -s "$WTC_REDIS_SOCKET" "$@"; }

# ---------------------------------------------------------------------------
# PostgreSQL
# ---------------------------------------------------------------------------

# wtc_pg_start [DIR ['setting = value'...]]: create (if need be) and start a
# server that only listens on the unix socket in $WTC_RUN.
wtc_pg_start()
{
	local dir=${1:-$WTC_WORK/data}

	(($# == 0)) || shift
	WTC_PG_HOST=$WTC_RUN
	export WTC_PG_HOST
	if [[ ! -e $dir/PG_VERSION ]]; then
		wtc_as "$WTC_PG_BIN/initdb" -D "$dir" -U postgres -A trust -E UTF8 \
			--no-locale --no-sync >"$WTC_WORK/initdb.log" 2>&1 ||
			{ cat "$WTC_WORK/initdb.log" >&2; wtc_die "initdb failed"; }
		{
			echo "listen_addresses = ''"
			echo "unix_socket_directories = '$WTC_RUN'"
			(($# == 0)) || printf '%s\n' "$@"
		} | wtc_as tee -a "$dir/postgresql.conf" >/dev/null
	fi
	wtc_pg_dirs+=("$dir")
	if ! wtc_as "$WTC_PG_BIN/pg_ctl" -D "$dir" -l "$WTC_WORK/postgres.log" \
		-w -t "$WTC_TIMEOUT" start >/dev/null; then
		tail -n 20 "$WTC_WORK/postgres.log" >&2
		wtc_die "PostgreSQL did not start"
	fi
}

wtc_pg_stop()
{
	local dir=${1:-$WTC_WORK/data}

	[[ -e $dir/postmaster.pid ]] || return 0
	wtc_as "$WTC_PG_BIN/pg_ctl" -D "$dir" -w -t "$WTC_TIMEOUT" \
		-m "${2:-fast}" stop >/dev/null
}

wtc_psql()
{
	"$WTC_PG_BIN/psql" -X -q -h "$WTC_PG_HOST" -U postgres -d postgres \
		-v ON_ERROR_STOP=1 "$@"
}

# ---------------------------------------------------------------------------

# To be called from an EXIT trap.
wtc_cleanup()
{
	local dir

	for dir in "${wtc_pg_dirs[@]}"; do
		wtc_pg_stop "$dir" immediate || true
	done
	for dir in "${wtc_redis_dirs[@]}"; do
		wtc_redis_stop "$dir" || true
	done
	if [[ -z ${WTC_KEEP:-} ]]; then
		((${#wtc_removable[@]} == 0)) || rm -rf "${wtc_removable[@]}"
	fi
	wtc_removable=()
}
