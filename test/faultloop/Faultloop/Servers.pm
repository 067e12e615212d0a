
=pod

=head1 NAME

Faultloop::Servers - the PostgreSQL and Redis that the faults are done to

=head1 DESCRIPTION

Everything here has a deadline, may be called while the servers are in any
state, and asks the servers as little as possible: processes are found in
/proc, for a server that hangs answers no query.  Programs are those of the
PATH.

=cut

package Faultloop::Servers;

use strict;
use warnings;

use Cwd qw(abs_path);

use File::Copy ();
use File::Temp ();
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

use constant DEADLINE => 60;

# new(dir => where data and logs go)
sub new
{
	my ($class, %o) = @_;
	my $self = bless {
		dir => $o{dir},
		owner => $$,
		# short, for the sockets' names
		run => File::Temp->newdir('wtfault-XXXXXX', DIR => '/tmp'),
		settings => {}
	}, $class;

	$self->{redis_ports} = { 1 => 0, 2 => 0 };
	mkdir $self->redis_dir($_) foreach 1, 2;
	$self->set_master(1);
	mkdir $self->host_of($_) foreach 1, 2;
	$self->set_primary(1);
	return $self;
}

# That of the Redis that is the master, whichever it is
sub redis_socket { return "$_[0]{run}/redis.sock"; }

# There may be two PostgreSQL as well, and links point to the primary.
sub host { return "$_[0]{run}/pg"; }
sub host_of { my ($self, $n) = @_; return "$self->{run}/pg$n"; }
sub data { return "$_[0]{dir}/pg"; }
sub data_of { my ($self, $n) = @_; return "$self->{dir}/pg$n"; }
sub pg_log { return "$_[0]{dir}/postgres.log"; }

# Run a program with a deadline; its output, or undef if it failed.
sub output
{
	my ($self, $seconds, @command) = @_;
	my $pid = open(my $out, '-|') // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDERR, '>>', "$self->{dir}/commands.log");
		{ no warnings; exec 'timeout', '-k', 1, $seconds, @command; }
		POSIX::_exit(127);
	}
	local $/;
	my $text = <$out>;
	return close $out ? $text // '' : undef;
}

# The same for programs that leave a server behind, which would keep a pipe.
sub succeeds
{
	my ($self, $seconds, @command) = @_;
	my $pid = fork // die "could not fork: $!";

	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', "$self->{dir}/commands.log");
		open(STDERR, '>&', \*STDOUT);
		{ no warnings; exec 'timeout', '-k', 1, $seconds, @command; }
		POSIX::_exit(127);
	}
	waitpid($pid, 0);
	return $? == 0;
}

sub wait_until
{
	my ($seconds, $condition) = @_;
	my $deadline = time + $seconds;

	until ($condition->())
	{
		return 0 if time > $deadline;
		sleep 0.02;
	}
	return 1;
}

# ---------------------------------------------------------------------------
# Processes
# ---------------------------------------------------------------------------

sub slurp
{
	my ($path) = @_;

	open(my $file, '<', $path) or return undef;
	local $/;
	return scalar <$file>;
}

# A process that has ended; in a container nobody may have buried it.
sub gone
{
	my ($pid) = @_;
	my $stat = slurp("/proc/$pid/stat");

	return !defined $stat || $stat =~ /^\d+ \(.*\) Z/s;
}

sub postmaster
{
	my ($self, $data) = @_;
	my $file = slurp(($data // $self->data) . '/postmaster.pid') // '';

	return $file =~ /^(\d+)\n/ && !gone($1) ? $1 : undef;
}

# Children of the server: pid => title without "postgres: "
sub children
{
	my ($self, $postmaster) = @_;
	my %children;

	$postmaster //= $self->postmaster;
	return unless $postmaster;
	foreach my $stat (glob '/proc/[0-9]*/stat')
	{
		my $content = slurp($stat) // next;
		my ($pid, $state, $parent) = $content =~ /^(\d+) \(.*\) (\S) (\d+)/s
		  or next;

		next if $parent != $postmaster || $state eq 'Z';
		my $title = slurp("/proc/$pid/cmdline") // next;
		$title =~ s/[\0 ]+$//;
		$children{$pid} = $title if $title =~ s/^postgres: //;
	}
	return %children;
}

# Pids of the backends of the load
sub backends
{
	my ($self, $doing) = @_;
	my %children = $self->children;

	return
	  grep { $children{$_} =~ /^(?:writer|operator) postgres \[local\].*$doing/ }
	  sort keys %children;
}

sub worker
{
	my ($self) = @_;
	my %children = $self->children;

	return (grep { $children{$_} =~ /^wtcache worker/ } keys %children)[0];
}

# Wake whatever was stopped.
sub continue_all
{
	my ($self) = @_;
	my %children = $self->children;
	my @redis = grep { defined } map { $self->redis_pid($_) } 1, 2;

	kill 'CONT', keys %children if %children;
	kill 'CONT', @redis if @redis;
	return;
}

# ---------------------------------------------------------------------------
# PostgreSQL
# ---------------------------------------------------------------------------

# Create and start it.
sub create
{
	my ($self, %settings) = @_;

	$self->succeeds(120, 'initdb', '-D', $self->data_of(1), '-U', 'postgres', '-A',
		'trust', '-E', 'UTF8', '--no-locale', '--no-sync')
	  or die "initdb failed: see $self->{dir}/commands.log\n";
	open(my $conf, '>>', $self->data . '/postgresql.conf') or die $!;
	print $conf "listen_addresses = ''\n",
	  "unix_socket_directories = '", $self->host_of(1), "'\n",
	  map { "$_ = '$settings{$_}'\n" } sort keys %settings;
	print $conf "include_if_exists = 'faults.conf'\n";
	close $conf;
	$self->set;
	$self->pg_start or die "PostgreSQL did not start: see " . $self->pg_log . "\n";
	return;
}

sub pg_ctl
{
	my ($self, @args) = @_;

	return $self->pg_ctl_of($self->data, @args);
}

sub pg_ctl_of
{
	my ($self, $data, @args) = @_;

	return $self->succeeds(DEADLINE + 5, 'pg_ctl', '-D', $data, '-s',
		'-w', '-t', DEADLINE, '-l', $self->pg_log, @args);
}

# What a killed server has left may be in the way for a moment.
sub pg_start
{
	my ($self) = @_;

	foreach my $try (1 .. 5)
	{
		return 1 if $self->pg_up || $self->pg_ctl('start') || $self->pg_up;
		sleep 0.5;
	}
	return 0;
}

sub pg_up
{
	my ($self) = @_;

	return defined $self->postmaster
	  && defined $self->output(5, 'pg_isready', '-q', '-h', $self->host);
}

sub pg_stop
{
	my ($self, $mode) = @_;

	return 1 if !$self->postmaster || $self->pg_ctl('-m', $mode, 'stop');
	# A fast shutdown that comes while PostgreSQL recovers from the crash of one of its
	# processes waits for the checkpointer, which is not told to end.
	return $mode ne 'immediate' && $self->pg_ctl('-m', 'immediate', 'stop');
}

sub primary
{
	my ($self) = @_;

	return (readlink($self->data) // '') =~ /2$/ ? 2 : 1;
}

sub set_primary
{
	my ($self, $n) = @_;

	foreach my $link ([ $self->data, $self->data_of($n) ],
		[ $self->host, $self->host_of($n) ])
	{
		my ($name, $to) = @$link;

		symlink($to, "$name.new") or die "could not link: $!";
		rename("$name.new", $name) or die "could not rename: $!";
	}
	return;
}

# A standby of the primary, new if it is not one that follows
sub standby_start
{
	my ($self) = @_;
	my $n = 3 - $self->primary;
	my $data = $self->data_of($n);

	return 1
	  if $self->postmaster($data) && -e "$data/standby.signal"
	  && $self->standby_follows;
	$self->pg_ctl_of($data, '-m', 'immediate', 'stop');
	$self->succeeds(20, 'rm', '-rf', $data);
	$self->succeeds(120, 'pg_basebackup', '-D', $data, '-h', $self->host,
		'-U', 'postgres', '-c', 'fast', '-X', 'stream', '--no-sync')
	  or return 0;
	open(my $conf, '>>', "$data/postgresql.conf") or die $!;
	print $conf "unix_socket_directories = '", $self->host_of($n), "'\n",
	  "primary_conninfo = 'host=", $self->host_of($self->primary),
	  " user=postgres'\n";
	close $conf;
	open(my $signal, '>', "$data/standby.signal") or die $!;
	close $signal;
	return $self->pg_ctl_of($data, 'start') && $self->standby_follows;
}

sub standby_follows
{
	my ($self) = @_;

	return wait_until(
		20,
		sub {
			($self->sql(q{SELECT count(*) FROM pg_stat_replication
				WHERE state = 'streaming'}) // 0) > 0;
		});
}

# Processes of this server, also those whose postmaster has gone
sub processes
{
	my ($self) = @_;
	my $data = abs_path($self->data);

	return map { m{^/proc/(\d+)/} ? $1 : () }
	  grep { (readlink($_) // '') eq $data } glob('/proc/[0-9]*/cwd');
}

# As if the machine's power went, but for what the system's cache holds
sub pg_kill9
{
	my ($self, $all_at_once) = @_;
	my $postmaster = $self->postmaster or return 0;
	my @children = keys %{ { $self->children($postmaster) } };

	kill 'KILL', $postmaster;
	kill 'KILL', @children if $all_at_once && @children;
	# A backend ends when it notices, if it can: one that waits for a lock of a
	# process that was killed never does, and nobody is left to end it.
	return 1 if wait_until(5, sub { !$self->processes });
	kill 'KILL', $self->processes;
	return wait_until(20, sub { !$self->processes });
}

# Settings on top of the others, until set again
sub set
{
	my ($self, %settings) = @_;
	my $path = $self->data . '/faults.conf';

	open(my $conf, '>', "$path.new") or die "could not write \"$path\": $!";
	$settings{'wtcache.url'} = 'unix://' . $self->socket_of($self->master);
	print $conf map { "$_ = '$settings{$_}'\n" } sort keys %settings;
	close $conf;
	rename "$path.new", $path;
	my $postmaster = $self->postmaster;
	kill 'HUP', $postmaster if $postmaster;
	return;
}

# The result of a query, or undef.  It must not wait for a standby.
sub sql
{
	my ($self, $query, $seconds) = @_;

	return $self->sql_at($self->host, $query, $seconds);
}

sub sql_at
{
	my ($self, $host, $query, $seconds) = @_;

	local $ENV{PGOPTIONS} = '-c synchronous_commit=local';
	local $ENV{PGCONNECT_TIMEOUT} = 5;
	my $text = $self->output($seconds || 20, 'psql', '-X', '-q', '-A', '-t',
		'-h', $host, '-U', 'postgres', '-d', 'postgres', '-v',
		'ON_ERROR_STOP=1', '-c', $query);
	chomp $text if defined $text;
	return $text;
}

sub sql_file
{
	my ($self, $path) = @_;

	return $self->succeeds(DEADLINE, 'psql', '-X', '-q', '-h', $self->host,
		'-U', 'postgres', '-d', 'postgres', '-v', 'ON_ERROR_STOP=1', '-f', $path);
}

# ---------------------------------------------------------------------------
# Redis
# ---------------------------------------------------------------------------

# There may be two, of which one is the other's replica.  Which one is the
# master is told by where a link points to, for faults run in processes of
# their own.  All that follows is about the master if no other is named.

sub redis_dir { my ($self, $n) = @_; return "$self->{dir}/redis$n"; }
sub socket_of { my ($self, $n) = @_; return "$self->{run}/redis$n.sock"; }

sub master
{
	my ($self) = @_;

	return (readlink($self->redis_socket) // '') =~ /2\.sock$/ ? 2 : 1;
}

sub set_master
{
	my ($self, $n) = @_;
	my $link = "$self->{run}/redis.new";

	symlink($self->socket_of($n), $link) or die "could not link: $!";
	rename($link, $self->redis_socket) or die "could not rename: $!";
	return;
}

sub redis_pid
{
	my ($self, $n) = @_;
	my $pid = slurp($self->redis_dir($n // $self->master) . '/redis.pid') // '';

	return $pid =~ /^(\d+)/ && !gone($1) ? $1 : undef;
}

sub dump_file { my ($self) = @_; return $self->redis_dir($self->master) . '/dump.rdb'; }

sub redis_of
{
	my ($self, $n, @command) = @_;

	my $reply =
	  $self->output(10, 'redis-cli', '-s', $self->socket_of($n), @command);
	chomp $reply if defined $reply;
	return $reply;
}

sub redis { my ($self, @command) = @_; return $self->redis_of($self->master, @command); }

# With what its dump holds, if there is one
sub redis_start
{
	my ($self, $n) = @_;

	$n //= $self->master;
	return 1 if $self->redis_pid($n);
	my $dir = $self->redis_dir($n);

	unlink $self->socket_of($n);
	$self->succeeds(20, 'redis-server', '--bind', '127.0.0.1', '--port',
		$self->{redis_ports}{$n}, '--unixsocket', $self->socket_of($n),
		'--unixsocketperm', 700, '--daemonize', 'yes', '--pidfile',
		"$dir/redis.pid", '--logfile', "$dir/redis.log", '--dir', $dir,
		'--save', '', '--appendonly', 'no', '--repl-diskless-sync', 'yes',
		'--repl-diskless-sync-delay', 0);
	return wait_until(20, sub { ($self->redis_of($n, 'PING') // '') eq 'PONG' });
}

sub redis_kill9
{
	my ($self, $n) = @_;
	my $pid = $self->redis_pid($n) or return 1;

	kill 'KILL', $pid;
	return wait_until(10, sub { gone($pid) });
}

# A second Redis, which copies the first.  Replication needs ports.
sub start_replica
{
	my ($self) = @_;

	foreach my $n (1, 2)
	{
		my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
			Listen => 1) or die "no port: $!";

		$self->{redis_ports}{$n} = $socket->sockport;
	}
	$self->redis_kill9;
	return $self->redis_start(1)
	  && $self->redis_start(2)
	  && $self->replicate(2, 1)
	  && $self->replicated(2);
}

# $n becomes a replica of $of.
sub replicate
{
	my ($self, $n, $of) = @_;

	return ($self->redis_of($n, 'REPLICAOF', '127.0.0.1',
			$self->{redis_ports}{$of}) // '') =~ /^OK/;
}

# As it is to be, whatever has been done; who follows the right one already
# takes no notice.
sub heal_replication
{
	my ($self) = @_;
	my $n = $self->master;

	$self->redis_start($_) or return 0 foreach 1, 2;
	$self->redis_of($n, 'REPLICAOF', 'NO', 'ONE');
	return $self->replicate(3 - $n, $n) && $self->replicated(3 - $n);
}

# Has it copied all there was, and does it follow?
sub replicated
{
	my ($self, $n) = @_;

	return wait_until(
		30,
		sub {
			($self->redis_of($n, 'INFO', 'replication') // '') =~
			  /master_link_status:up/;
		});
}

# ---------------------------------------------------------------------------

sub stop_all
{
	my ($self) = @_;

	return if $self->{owner} != $$;
	$self->continue_all;
	$self->pg_stop('immediate') or $self->pg_kill9(1);
	$self->pg_ctl_of($self->data_of($_), '-m', 'immediate', 'stop') foreach 1, 2;
	$self->redis_kill9($_) foreach 1, 2;
	return;
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $!, $@);
	$self->stop_all;
	return;
}

1;
