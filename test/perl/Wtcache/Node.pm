
=pod

=head1 NAME

Wtcache::Node - a PostgreSQL server with wtcache preloaded, for a test

=head1 SYNOPSIS

  use Wtcache::Node;

  # initialised, started, CREATE EXTENSION done
  my $node = Wtcache::Node->start_new('main', url => $redis->url,
      conf => { 'wtcache.push_timeout' => '500ms' });

  $node->reconfigure('wtcache.url' => $bad->url);    # and wait for it
  my $n = $node->stat('pushes_failed');
  my $s = $node->session;                            # a BackgroundPsql
  my $kb = $node->peak_memory($s, 'UPDATE ...');    # of the session's process
  $node->release_pushes;                             # see debug_hold_push
  $node->pause_worker;                # only backends push until resume_worker

=head1 DESCRIPTION

A PostgreSQL::Test::Cluster.  Statements are not logged, so that what is in the
log of row data got there through wtcache.

=cut

package Wtcache::Node;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(sleep time);

our @ISA = ('PostgreSQL::Test::Cluster');

# Options: url, conf (settings), init (arguments of init), extension => 0.
sub start_new
{
	my ($class, $name, %o) = @_;
	my $node = $class->new($name);

	$node->init(%{ $o{init} || {} });
	$node->append_conf('postgresql.conf',
		"log_statement = none\nshared_preload_libraries = 'wtcache'\n"
		  # What servers have by default; the harness reduces them.
		  . "wal_level = replica\nmax_replication_slots = 10\n");
	$node->set('wtcache.url' => $o{url}) if defined $o{url};
	$node->set(%{ $o{conf} }) if $o{conf};
	$node->start;
	$node->create_extension unless defined $o{extension} && !$o{extension};
	return $node;
}

sub create_extension
{
	my ($self) = @_;

	$self->safe_psql('postgres', q{
		CREATE EXTENSION wtcache;
		CREATE OR REPLACE FUNCTION public.wtc_release() RETURNS boolean LANGUAGE C
		AS '$libdir/wtcache', 'wtcache_debug_release'});
	return;
}

# Write settings to the configuration file.
sub set
{
	my ($self, %settings) = @_;

	foreach my $name (sort keys %settings)
	{
		my $value = $settings{$name};

		$value =~ s/'/''/g;
		$self->append_conf('postgresql.conf', "$name = '$value'\n");
	}
	return;
}

# Change settings of the running server, wait until new sessions have them.
sub reconfigure
{
	my ($self, %settings) = @_;

	$self->set(%settings);
	$self->reload;
	foreach my $name (sort keys %settings)
	{
		$self->wait_for_setting(
			sub { $self->safe_psql('postgres', $_[0]) },
			$name, $settings{$name});
	}
	return;
}

# Wait until an open session has seen a reload; returns the session.
sub settle
{
	my ($self, $session, %settings) = @_;

	foreach my $name (sort keys %settings)
	{
		$self->wait_for_setting(sub { $session->query_safe($_[0]) },
			$name, $settings{$name});
	}
	return $session;
}

sub wait_for_setting
{
	my ($self, $query, $name, $value) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	$value =~ s/'/''/g;
	while ($query->(
			"SELECT count(*) FROM pg_settings WHERE name = '$name' AND"
			  . " current_setting(name) = '$value'") ne '1')
	{
		die "setting $name does not become '$value'" if time > $deadline;
		sleep 0.02;
	}
	return;
}

# A counter of wtcache.stat; fail_CLASS is one of wtcache.stat_failure
sub stat
{
	my ($self, $counter) = @_;

	return $self->safe_psql('postgres',
		"SELECT count FROM wtcache.stat_failure WHERE class = '$1'")
	  if $counter =~ /^fail_(\w+)$/;
	return $self->safe_psql('postgres', "SELECT $counter FROM wtcache.stat");
}

# All counters
sub stats
{
	my ($self) = @_;

	return map { /^\s*"(\w+)": ?(\d+),?\s*$/ ? ($1 => $2) : () } split /\n/,
	  $self->safe_psql('postgres',
		q{SELECT jsonb_pretty(to_jsonb(s) || f.counts) FROM wtcache.stat s,
		  (SELECT jsonb_object_agg('fail_' || class, count) FROM wtcache.stat_failure) f(counts)});
}

sub status
{
	my ($self, $column) = @_;

	return $self->safe_psql('postgres', "SELECT $column FROM wtcache.status");
}

# The worker's process; waits until there is one.
sub worker_pid
{
	my ($self) = @_;

	$self->poll_query_until('postgres',
		'SELECT worker_pid > 0 FROM wtcache.status')
	  or die 'there is no worker';
	return $self->status('worker_pid');
}

# Wait until the log says something behind an offset; true if it does.  Unlike
# wait_for_log() it is the test that fails, not the program.
sub logged
{
	my ($self, $regexp, $offset) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	while (time < $deadline)
	{
		return 1 if $self->log_tail($offset) =~ $regexp;
		sleep 0.1;
	}
	return 0;
}

# What has been logged since the log was as long as this, and its length.
sub log_tail
{
	my ($self, $offset) = @_;

	return substr(PostgreSQL::Test::Utils::slurp_file($self->logfile),
		$offset || 0);
}
sub log_length { return -s $_[0]->logfile; }

# kill -9 of the postmaster; returns when its children have left, too.
sub crash
{
	my ($self) = @_;
	my $postmaster = $self->{_pid};
	my @orphans = map { /^(\d+)$/ ? $1 : () } split /\n/,
	  $self->safe_psql('postgres',
		'SELECT pid FROM pg_stat_activity UNION SELECT pg_backend_pid()');
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	$self->kill9;
	# a paused worker would go on with what it was about to do
	if (my $worker = delete $self->{paused})
	{
		kill 'KILL', $worker;
		push @orphans, $worker;
	}
	sleep 0.02
	  while grep({ !_gone($_) } $postmaster, @orphans) && time < $deadline;
	# A container may have nobody to collect it; pg_ctl would believe it alive.
	$deadline = time + 5;
	sleep 0.02 while -e "/proc/$postmaster" && time < $deadline;
	unlink $self->data_dir . '/postmaster.pid',
	  $self->host . '/.s.PGSQL.' . $self->port . '.lock'
	  if -e "/proc/$postmaster";
	return;
}

# Has the process ended?  Somebody may still have to collect it.
sub _gone
{
	my ($pid) = @_;

	return !-e "/proc/$pid"
	  || (eval { PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") } // ') Z')
	  =~ /\) Z/;
}

# A psql that stays connected; errors do not end it.
sub session
{
	my ($self, %o) = @_;
	my $session =
	  $self->background_psql($o{dbname} || 'postgres', on_error_stop => 0);

	# A limit for each query, not for all of them together
	$session->set_query_timer_restart;
	# NOTICEs would be taken for errors.
	$session->query_safe('SET client_min_messages = error');
	return $session;
}

sub pid_of
{
	my ($self, $session) = @_;

	return $session->query_safe('SELECT pg_backend_pid()');
}

# Memory that statements of a session take at most, beyond what its process had
# before them, in kB
sub peak_memory
{
	my ($self, $session, @sql) = @_;
	my $pid = $self->pid_of($session);
	my $before;

	# resets VmHWM
	PostgreSQL::Test::Utils::append_to_file("/proc/$pid/clear_refs", '5');
	$before = _high_water($pid);
	$session->query_safe($_) foreach @sql;
	return _high_water($pid) - $before;
}

sub _high_water
{
	my ($pid) = @_;
	my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~
	  /^VmHWM:\s+(\d+) kB/m;

	return $kb;
}

# Start a statement in a session without waiting for it.  The next query of
# the session waits.
sub begin_query
{
	my ($self, $session, $sql) = @_;

	$session->query_until(qr/begun/, "\\echo begun\n$sql;\n");
	return;
}

# Stop the replay worker once it has nothing to do, so that what backends do is
# seen by itself.  It is to be resumed before the server is stopped; a crash ends it.
sub pause_worker
{
	my ($self) = @_;
	my $pid;

	$self->poll_query_until('postgres',
		q{SELECT worker_state LIKE 'idle%' FROM wtcache.status})
	  or die 'the worker has something to do';
	$pid = $self->status('worker_pid');
	kill 'STOP', $pid or die "could not stop process $pid";
	$self->{paused} = $pid;
	return;
}

sub resume_worker
{
	my ($self) = @_;
	my $pid = delete $self->{paused};

	kill 'CONT', $pid if $pid;
	return;
}

# Let go the push that wtcache.debug_hold_push holds; waits for it first.
sub release_pushes
{
	my ($self) = @_;

	return $self->safe_psql('postgres', 'SELECT wtc_release()') eq 't';
}

1;
