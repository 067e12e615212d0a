
=pod

=head1 NAME

Faultloop::Faults - what is done to the servers

=head1 DESCRIPTION

Each fault runs in a process of its own and takes until what it has done is
over, so that two of them can be under way at a time, if they are not of the
same group.  It returns 0 if there was nothing to do it to, and -1 if the server
has done what it must not.

=over

=item unsure

From now on until all is healed a push may fail although its commit does not.

=item loss

Redis loses its newest data, or all of it: readers may see what is older, until
it has been replayed.

=item absent

Values may be missing until they are changed again: Redis had none of them any
more and knew no position to replay from, or could not store them.

=item switch

Another server takes the place of PostgreSQL, and does not know of all that has
been acknowledged.

=item standby

Needs a second PostgreSQL that follows the first.

=item replica

Needs a second Redis that copies the first.

=back

What has none of these must not be seen by anyone but for the time it takes.

=cut

package Faultloop::Faults;

use strict;
use warnings;

use File::Copy qw(copy);
use POSIX ();
use Time::HiRes qw(sleep time);

our %faults = (
	backend_kill9 => { group => 'backend', run => \&backend_kill9 },
	backend_terminate =>
	  { group => 'backend', unsure => 1, run => sub { signal_backend('TERM', @_) } },
	backend_cancel =>
	  { group => 'backend', unsure => 1, run => sub { signal_backend('INT', @_) } },
	backend_stop => { group => 'backend', run => \&backend_stop },
	worker_kill9 => { group => 'worker', run => \&worker_kill9 },
	worker_terminate => { group => 'worker', run => \&worker_terminate },
	worker_stop => { group => 'worker', run => \&worker_stop },
	pg_kill9 => { group => 'pg', run => \&pg_kill9 },
	pg_immediate => { group => 'pg', run => \&pg_immediate },
	pg_fast => { group => 'pg', unsure => 1, run => \&pg_fast },
	sync_standby => { group => 'pg', unsure => 1, run => \&sync_standby },
	pg_promote => {
		group => 'pg', unsure => 1, loss => 1, absent => 1, switch => 1,
		standby => 1, run => \&pg_promote },
	checkpoint => { group => 'sql', run => \&checkpoint },
	drop_database => { group => 'sql', run => \&drop_database },
	redis_stop => { group => 'redis', unsure => 1, run => \&redis_stop },
	redis_empty =>
	  { group => 'redis', unsure => 1, loss => 1, absent => 1, run => \&redis_empty },
	redis_saved =>
	  { group => 'redis', unsure => 1, loss => 1, run => \&redis_saved },
	redis_older =>
	  { group => 'redis', unsure => 1, loss => 1, run => \&redis_older },
	redis_flushall =>
	  { group => 'redis', unsure => 1, loss => 1, absent => 1, run => \&redis_flushall },
	redis_no_token => { group => 'redis', unsure => 1, run => \&redis_no_token },
	redis_no_position =>
	  { group => 'redis', unsure => 1, absent => 1, run => \&redis_no_position },
	redis_full =>
	  { group => 'redis', unsure => 1, absent => 1, run => \&redis_full },
	redis_script_flush => { group => 'redis', run => \&redis_script_flush },
	redis_client_kill =>
	  { group => 'redis', unsure => 1, run => \&redis_client_kill },
	redis_failover =>
	  { group => 'redis', unsure => 1, loss => 1, replica => 1, run => \&redis_failover },
	redis_demote =>
	  { group => 'redis', unsure => 1, loss => 1, replica => 1, run => \&redis_demote });

sub between { my ($from, $to) = @_; return $from + rand($to - $from); }
sub one_of { return $_[ rand @_ ]; }

# ---------------------------------------------------------------------------
# Processes of PostgreSQL
# ---------------------------------------------------------------------------

# One that is busy, if there is any
sub victim
{
	my ($servers) = @_;
	my @busy = $servers->backends('(?<!idle)$');

	return @busy ? one_of(@busy) : one_of($servers->backends(''));
}

sub await_pg
{
	my ($servers) = @_;

	return Faultloop::Servers::wait_until(60,
		sub { $servers->postmaster && $servers->pg_up });
}

sub backend_kill9
{
	my ($servers) = @_;
	my $pid = victim($servers) or return 0;

	kill 'KILL', $pid;
	sleep 0.05;    # until the postmaster has seen it
	return await_pg($servers);
}

sub signal_backend
{
	my ($signal, $servers) = @_;
	my $done = 0;

	foreach (1 .. 1 + rand 5)
	{
		my $pid = victim($servers) or last;

		$done += kill $signal, $pid;
		sleep between(0, 0.05);
	}
	return $done;
}

# Wherever it is, and so perhaps with a lock that everybody needs
sub stop_for
{
	my ($seconds, @pids) = @_;

	@pids = grep { defined } @pids or return 0;
	return 0 unless kill 'STOP', @pids;
	sleep $seconds;
	kill 'CONT', @pids;
	return 1;
}

sub backend_stop
{
	my ($servers) = @_;

	return stop_for(between(0.1, rand() < 0.3 ? 2 : 0.5), victim($servers));
}

sub worker_kill9
{
	my ($servers) = @_;
	my $pid = $servers->worker or return 0;

	kill 'KILL', $pid;
	sleep 0.05;
	return await_pg($servers);
}

sub worker_terminate
{
	my ($servers) = @_;
	my $pid = $servers->worker or return 0;

	return kill 'TERM', $pid;
}

sub worker_stop
{
	my ($servers) = @_;

	return stop_for(between(0.1, 2), $servers->worker);
}

# ---------------------------------------------------------------------------
# PostgreSQL as a whole
# ---------------------------------------------------------------------------

sub pg_kill9
{
	my ($servers) = @_;

	$servers->pg_kill9(rand() < 0.5) or return 0;
	sleep between(0, 0.3);
	return $servers->pg_start;
}

sub pg_immediate
{
	my ($servers) = @_;

	$servers->pg_stop('immediate') or return 0;
	sleep between(0, 0.3);
	return $servers->pg_start;
}

sub pg_fast
{
	my ($servers) = @_;

	$servers->pg_stop('fast') or return 0;
	return $servers->pg_start;
}

# Commits hang in the wait for a standby that is not there: they are in the
# log, and nobody sees them yet.  Some are cancelled.
sub sync_standby
{
	my ($servers) = @_;
	my $until = time + between(0.2, 1.5);

	$servers->set(%{ $servers->{settings} },
		synchronous_standby_names => 'nobody');
	while (time < $until)
	{
		my @waiting = $servers->backends('waiting for');

		kill 'INT', one_of(@waiting) if @waiting && rand() < 0.5;
		sleep 0.05;
	}
	$servers->set(%{ $servers->{settings} });
	return 1;
}

# Writes and deletes rows that nobody else does, for so long, until its server
# has gone; returns its pid.
sub write_plants
{
	my ($servers, $host, $seconds) = @_;
	my $pid = fork // die "could not fork: $!";

	return $pid if $pid > 0;
	$servers->sql_at($host, qq{
		DO \$\$
		DECLARE
			until timestamptz := clock_timestamp() + '$seconds s';
			k int;
		BEGIN
			WHILE clock_timestamp() < until LOOP
				k := random() * 99;
				IF random() < 0.2 THEN
					DELETE FROM plant WHERE id = k;
				ELSE
					INSERT INTO plant VALUES (k, 0)
						ON CONFLICT (id) DO UPDATE SET seq = plant.seq + 1;
				END IF;
				COMMIT;
			END LOOP;
		END \$\$}, $seconds + 20);
	POSIX::_exit(0);
}

# The standby takes over and lacks what was committed last; the old primary
# goes on for a while, with all its clients, and writes to the same Redis.
# What that had changed is deleted from Redis, or was by itself, and older images
# are not replayed: such keys are absent until they are written again.
sub pg_promote
{
	my ($servers) = @_;
	my $old = $servers->primary;
	my $new = 3 - $old;
	my @writing;

	$servers->standby_follows or return 0;
	push @writing, write_plants($servers, $servers->host_of($old), 10);
	sleep between(0, 0.5);
	$servers->sql_at($servers->host_of($new),
		"ALTER SYSTEM SET primary_conninfo = ''; SELECT pg_reload_conf()");
	sleep between(0, rand() < 0.5 ? 0.2 : 1.5);
	my $done = $servers->pg_ctl_of($servers->data_of($new), 'promote');
	push @writing, write_plants($servers, $servers->host_of($new), 2);
	sleep between(0, 2);
	$servers->pg_kill9(rand() < 0.5);
	$servers->set_primary($new);
	waitpid($_, 0) foreach @writing;
	return $servers->standby_start && $done;
}

sub checkpoint
{
	my ($servers) = @_;

	return defined $servers->sql('CHECKPOINT; SELECT pg_switch_wal()', 30);
}

# Nobody may have a connection to it: that is what this is about.  The server
# may be down because of another fault, but not for so long; -1: refused.
sub drop_database
{
	my ($servers) = @_;

	$servers->sql('DROP DATABASE IF EXISTS scratch');
	defined $servers->sql('CREATE DATABASE scratch') or return 0;
	return Faultloop::Servers::wait_until(60,
		sub { defined $servers->sql('DROP DATABASE IF EXISTS scratch') }) || -1;
}

# ---------------------------------------------------------------------------
# Redis
# ---------------------------------------------------------------------------

sub redis_stop
{
	my ($servers) = @_;

	return stop_for(between(0.1, 3), $servers->redis_pid);
}

sub redis_empty
{
	my ($servers) = @_;

	$servers->redis_kill9;
	unlink $servers->dump_file;
	sleep between(0, 1);
	return $servers->redis_start;
}

# Loses what came between the two lines
sub redis_saved
{
	my ($servers) = @_;

	$servers->redis('SAVE');
	$servers->redis_kill9;
	sleep between(0, 1);
	return $servers->redis_start;
}

sub redis_older
{
	my ($servers) = @_;

	$servers->redis('SAVE');
	sleep between(0.3, 3);
	$servers->redis_kill9;
	return $servers->redis_start;
}

sub redis_flushall { my ($servers) = @_; return $servers->redis('FLUSHALL') && 1; }

sub redis_script_flush
{
	my ($servers) = @_;

	return $servers->redis('SCRIPT', 'FLUSH', one_of('SYNC', 'ASYNC')) && 1;
}

sub redis_client_kill
{
	my ($servers) = @_;

	return defined $servers->redis('CLIENT', 'KILL', 'TYPE', 'normal');
}

# Somebody has deleted it, or has written to its key.
sub redis_no_token
{
	my ($servers) = @_;
	my @commands = ([ 'DEL' ], [ 'SET', 'x' ], [ 'APPEND', ' ' ]);
	my ($command, @rest) = @{ one_of(@commands) };

	return defined $servers->redis($command, 'wtcache:token', @rest);
}

# Without it nobody knows what else is gone.
sub redis_no_position
{
	my ($servers) = @_;

	$servers->redis('DEL', 'wtcache:position') or return 0;
	return rand() < 0.5 ? redis_no_token($servers) : 1;
}

# The replica is promoted and does not have what the master still takes until
# everybody has been told.  Then that is its replica.
sub redis_failover
{
	my ($servers) = @_;
	my $old = $servers->master;
	my $new = 3 - $old;

	$servers->replicated($new) or return 0;
	$servers->redis_of($new, 'REPLICAOF', 'NO', 'ONE') or return 0;
	sleep between(0, rand() < 0.5 ? 0.1 : 1.5);
	$servers->set_master($new);
	$servers->set(%{ $servers->{settings} });
	sleep between(0, 0.5);
	return $servers->replicate($old, $new) && $servers->replicated($old);
}

# The load is stopped, and its backends have done what it has told them.
sub stop_load
{
	my ($servers) = @_;

	kill 'STOP', $servers->{load};
	return Faultloop::Servers::wait_until(3,
		sub { !$servers->backends('(?<!idle)(?<!idle in transaction)$') });
}

# The master becomes a replica of its own one, which has been promoted before,
# and soon is the master again: without what it had taken last, and with its
# clients connected all the time.  If they are at rest meanwhile, none of them
# is told that it was a replica.
sub redis_demote
{
	my ($servers) = @_;
	my $master = $servers->master;
	my $other = 3 - $master;

	$servers->replicated($other) or return 0;
	$servers->redis_of($other, 'REPLICAOF', 'NO', 'ONE') or return 0;
	sleep between(0, rand() < 0.5 ? 0.1 : 1.5);
	my $rest = rand() < 0.7;
	stop_load($servers) if $rest;
	my $done = $servers->replicate($master, $other)
	  && $servers->replicated($master);
	sleep between(0, 0.3) unless $rest;
	$servers->redis_of($master, 'REPLICAOF', 'NO', 'ONE');
	kill 'CONT', $servers->{load} if $rest;
	return $servers->replicate($other, $master) && $done;
}

sub redis_full
{
	my ($servers) = @_;

	$servers->redis('CONFIG', 'SET', 'maxmemory', '1mb') or return 0;
	sleep between(0.05, 1);
	$servers->redis('CONFIG', 'SET', 'maxmemory', '0');
	return 1;
}

1;
