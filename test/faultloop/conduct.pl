# conduct.pl
#	  The fault loop: starts servers and load, injects faults, checks, reports.
#
# test/faults runs it, and test/t/200_faults.pl for a short time.  Programs are
# those of the PATH; wtcache must be installed.  The exit status is 3 if there
# were violations, and any other than 0 if it could not do its work.
#
#	--dir DIR			for data and logs; must not exist
#	--load FILE			load.c, compiled
#	--seconds N			how long in all (60)
#	--round N			seconds of faults between two comparisons (10)
#	--calm N			seconds without faults before them (3)
#	--gap N				seconds between two faults at most (1)
#	--writers N			(6)
#	--readers N			(3)
#	--seed N			of the choice of faults (1); not of what they meet
#	--only FAULT,...	only these
#	--themes T,...		of the rounds: pg, mixed (both)
#	--kinds K,...		of transactions, besides small ones: prepared, async, big
#	--mix PERCENT		of the rounds that have one of these kinds, or one of the
#						operators; each is drawn by itself (60)
#	--operators O,...	who works beside the writers: verify, warm (and clear and
#						detach), plant (differences for verify to find), schema
#	--replica			with a second Redis that copies the first, to fail over to;
#						without operators, who stay with the first one
#	--standby			with a second PostgreSQL that follows the first, to be
#						promoted; without operators and prepared transactions,
#						which count on what has been acknowledged
#	--set NAME=VALUE	a setting of the server; may be given several times
#	--absent			nothing has to be there, where a setting makes it so; without
#						operators
#	--until-violation	end with the first one
#	--until-seen COUNT,...	go on until none of these counts of the report is 0, or
#						for five times as long
#	--no-replay			for a build without it: what is missed stays missing
#	--list				names of the faults
#
# A round is a calm phase, then faults of its theme, then everything is healed
# and at rest, and is compared.  In a round of the theme "pg" nothing is done
# that lets a push fail without its commit, so that oracle.c can go on holding
# every value against the acknowledgements.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../perl";

use Getopt::Long;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(clock_gettime sleep time CLOCK_MONOTONIC);

use Faultloop::Control;
use Faultloop::Faults;
use Faultloop::Quiet;
use Faultloop::Servers;

my %o = (
	seconds => 60,
	round => 10,
	calm => 3,
	gap => 1,
	writers => 6,
	readers => 3,
	seed => 1,
	only => '',
	themes => 'pg,mixed',
	big => 2000,
	kinds => 'prepared,async,big',
	operators => 'verify,warm,plant,schema',
	mix => 60,
	'until-seen' => '',
	set => {});

GetOptions(
	\%o, 'dir=s', 'load=s', 'seconds=f', 'round=f', 'calm=f', 'gap=f',
	'writers=i', 'readers=i', 'seed=i', 'only=s', 'themes=s', 'big=i',
	'kinds:s', 'mix=i', 'operators:s',
	'set=s%', 'absent', 'replica', 'standby', 'until-violation', 'until-seen=s',
	'no-replay', 'list') && !@ARGV
  or exit 2;
my %faults = %Faultloop::Faults::faults;
if ($o{list})
{
	print "$_\n" foreach sort keys %faults;
	exit 0;
}
die "--dir and --load are needed\n" unless $o{dir} && $o{load};
foreach my $name (split /,/, $o{only})
{
	die "no such fault: $name\n" unless $faults{$name};
}

# operators count on what they have stored
$o{operators} = '' if $o{'no-replay'} || $o{absent} || $o{replica} || $o{standby};
$o{kinds} =~ s/prepared,?// if $o{standby};

$| = 1;
srand($o{seed});
my $begun = time;
my ($servers, $control, $quiet, $load);
my %violations;      # found here; those of the readers are in $control
my %done;            # faults by name
my %tried;
my @heal_times;
my %running;         # pid => { name, since }
my ($rounds, $compared, $missed) = (0, 0, 0);

# Names of its processes are in the history of a violation, by this clock.
sub say_at { printf "%.6f %s\n", clock_gettime(CLOCK_MONOTONIC), "@_"; }

sub violate
{
	my ($class, $text) = @_;

	say_at("VIOLATION $class: $text") if ++$violations{$class} <= 10;
}

sub violated
{
	my %seen = $control->violations;

	return scalar grep { $_ } values %seen, values %violations;
}

sub enough { return $o{'until-violation'} && violated(); }

# Is something still to be seen that should be?
sub lacking
{
	return grep { !$control->get(uc =~ tr/ /_/r) } split(/,/, $o{'until-seen'});
}

sub over
{
	my $passed = time - $begun;

	return enough()
	  || $passed >= $o{seconds} && (!lacking() || $passed >= 5 * $o{seconds});
}

# ---------------------------------------------------------------------------
# Beginning and end
# ---------------------------------------------------------------------------

sub start_load
{
	my @command = (
		$o{load}, '-f', "$o{dir}/control", '-d',
		'host=' . $servers->host
		  . ' user=writer dbname=postgres connect_timeout=5'
		  . ' options=-cclient_min_messages=error',
		'-s', $servers->redis_socket, '-w', $o{writers}, '-r', $o{readers},
		'-S', $o{seed}, '-B', $o{big});

	push @command, '-A', 0, '-P', 0 if $o{'no-replay'};
	push @command, '-o' if $o{operators};
	push @command, '-m' if $o{absent};
	$control = Faultloop::Control->new("$o{dir}/control",
		"$FindBin::RealBin/words.h");
	$load = fork // die "could not fork: $!";
	if ($load == 0)
	{
		open(STDIN, '<', '/dev/null');
		{ no warnings; exec @command; }
		POSIX::_exit(127);
	}
	$servers->{load} = $load;
	Faultloop::Servers::wait_until(20, sub { $control->get('READY') })
	  or die "the load did not start\n";
}

sub start
{
	mkdir $o{dir} or die "could not create \"$o{dir}\": $!\n";
	# for who started us through others, to tell us to stop
	open(my $file, '>', "$o{dir}/conduct.pid") or die $!;
	print $file "$$\n";
	close $file;
	$servers = Faultloop::Servers->new(dir => $o{dir});
	$servers->redis_start or die "Redis did not start\n";
	$servers->start_replica or die "no replica\n" if $o{replica};
	$servers->create(
		'shared_preload_libraries' => 'wtcache',
		# so long that nothing but a fault can make a push fail
		'wtcache.push_timeout' => '5s',
		# longer than a round, so that no older dump is too old
		'wtcache.heal_window' => '60s',
		# so large that no key has to be deleted because others fill it
		'wtcache.version_memory' => '64MB',
		'wtcache.connect_timeout' => '3s',
		'wtcache.breaker_cooldown' => '200ms',
		# so small that big transactions go to WAL on their way
		'wtcache.batch_memory' => $o{'no-replay'} ? '128MB' : '256kB',
		'fsync' => 'off',
		'max_connections' => 60,
		'max_prepared_transactions' => 300,
		'shared_buffers' => '64MB',
		'deadlock_timeout' => '200ms',
		'wal_keep_size' => '512MB',
		'wal_retrieve_retry_interval' => '200ms',
		'log_line_prefix' => '%m [%p] %b ',
		'log_min_messages' => 'error',
		'log_checkpoints' => 'off',
		'log_min_error_statement' => 'panic',
		%{ $o{set} });
	defined $servers->sql('CREATE EXTENSION wtcache')
	  && $servers->sql_file("$FindBin::RealBin/schema.sql")
	  or die "could not create the tables: see $o{dir}/commands.log\n";
	$quiet = Faultloop::Quiet->new($servers);
	$servers->standby_start or die "no standby\n" if $o{standby};
	start_load();
}

sub finish
{
	local $?;

	kill 'KILL', keys %running if %running;
	$control->set('STOP', 1) if $control;
	if ($load)
	{
		$servers->continue_all;
		kill 'CONT', $load;
		Faultloop::Servers::wait_until(10,
			sub { waitpid($load, WNOHANG) != 0 })
		  or kill 'KILL', $load;
	}
	$servers->stop_all if $servers;
	undef $load;
}

my $me = $$;
END { finish() if defined $me && $me == $$; }
$SIG{$_} = sub { exit 130 } foreach qw(INT TERM HUP);

# ---------------------------------------------------------------------------
# Faults
# ---------------------------------------------------------------------------

my %round;    # what may be missing after this one

sub start_fault
{
	my ($name) = @_;
	my $fault = $faults{$name};
	my $dice = int rand 1e9;

	$control->make_odd('TROUBLE', 1) if $fault->{unsure};
	$control->make_odd('LOSS', 1) if $fault->{loss};
	$control->make_odd('SWITCH', 1) if $fault->{switch};
	$round{may_miss} = 1 if $fault->{absent};
	say_at("begin $name");

	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		$SIG{$_} = 'DEFAULT' foreach qw(INT TERM HUP);
		srand($dice);
		my $ok = eval { $fault->{run}->($servers) };
		print STDERR $@ if $@;
		POSIX::_exit(!$ok ? 1 : $ok < 0 ? 2 : 0);
	}
	$running{$pid} = { name => $name, since => time };
	$tried{$name}++;
}

sub end_fault
{
	my ($pid, $status) = @_;
	my $name = delete($running{$pid})->{name};

	# not while another one that is under way does the same
	foreach my $what (qw(loss switch))
	{
		$control->make_odd(uc $what, 0)
		  if $faults{$name}{$what} && !grep { $faults{ $_->{name} }{$what} } values %running;
	}
	$quiet->switched if $faults{$name}{switch};
	$done{$name}++ if $status == 0;
	say_at("end $name" . ($status == 0 ? '' : ': nothing done'));
	violate(uc $name, 'refused') if $status >> 8 == 2;
}

# Those that are over; kills one that takes for ever.
sub reap
{
	foreach my $pid (keys %running)
	{
		if (waitpid($pid, WNOHANG) == $pid)
		{
			end_fault($pid, $?);
		}
		elsif (time > $running{$pid}{since} + 200)
		{
			violate('STUCK', "$running{$pid}{name} does not end");
			kill 'KILL', $pid;
		}
	}
	if (waitpid($load, WNOHANG) == $load)
	{
		undef $load;
		die "the load has ended\n";
	}
}

# A fault that may be done now, or undef
sub choose
{
	my @names = @_;
	my %groups = map { $faults{ $_->{name} }{group} => 1 } values %running;

	@names = grep { !$groups{ $faults{$_}{group} } } @names;
	return @names ? $names[ rand @names ] : undef;
}

sub names_for
{
	my ($theme) = @_;
	my @names = $o{only} ? split(/,/, $o{only}) :
	  grep { ($o{replica} || !$faults{$_}{replica})
		  && ($o{standby} || !$faults{$_}{standby}) } sort keys %faults;

	return $theme eq 'pg' ? grep { !$faults{$_}{unsure} } @names : @names;
}

sub fault_phase
{
	my ($theme) = @_;
	my @names = names_for($theme);
	my $until = time + $o{round};
	my $next = time;

	# A deadline that does pass, now and then
	if ($theme ne 'pg' && rand() < 0.3)
	{
		$control->make_odd('TROUBLE', 1);
		$servers->{settings} = { 'wtcache.push_timeout' => '150ms' };
		$servers->set(%{ $servers->{settings} });
	}
	while (time < $until && !enough())
	{
		reap();
		if (time >= $next && keys %running < 2)
		{
			my $name = choose(@names);

			start_fault($name) if defined $name;
			$next = time + rand $o{gap};
		}
		sleep 0.01;
	}
}

# ---------------------------------------------------------------------------
# Healing and coming to rest
# ---------------------------------------------------------------------------

sub heal
{
	my $deadline = time + 240;

	while (%running && time < $deadline)
	{
		reap();
		sleep 0.01;
	}
	$servers->continue_all;
	kill 'CONT', $load;
	$servers->{settings} = {};
	$servers->set;
	$servers->redis_start or violate('STUCK', 'Redis does not start');
	!$o{replica} || $servers->heal_replication
	  or violate('STUCK', 'the replica does not follow');
	$servers->redis('CONFIG', 'SET', 'maxmemory', 0);
	$servers->pg_start or violate('STUCK', 'PostgreSQL does not start');
	!$o{standby} || $servers->standby_start
	  or violate('STUCK', 'the standby does not follow');
	say_at('healed');
}

sub come_to_rest
{
	my $all = $o{writers} + ($o{big} > 0);

	$control->set('RUN', 0);
	Faultloop::Servers::wait_until(
		120,
		sub {
			reap();
			$control->get('IDLE') >= $all
			  && $control->get('PREPARED') == 0
			  && $control->get('OPERATORS_IDLE') >= $control->get('OPERATORS');
		})
	  or violate('STUCK', 'writers do not come to rest: '
		  . $control->get('IDLE') . " of $all, "
		  . $control->get('PREPARED') . ' transactions are prepared, operators: '
		  . $control->get('OPERATORS_IDLE') . ' of '
		  . $control->get('OPERATORS'));
}

sub wait_all
{
	return if $o{'no-replay'};
	my $answer = $servers->sql(q{SELECT wtcache.wait('60s')}, 80)
	  // 'no answer';

	violate('WAIT', "wtcache.wait says $answer; status: "
		  . ($servers->sql('TABLE wtcache.status') // '')) if $answer ne 't';
}

# For people to read
sub replayed
{
	return 'no replay' if $o{'no-replay'};
	return $servers->sql(
		q{SELECT format('%s operations replayed since the start, WAL kept from'
			' %s, watermark %s, end %s', replayed, retained_from, watermark,
			pg_current_wal_insert_lsn()) FROM wtcache.stat, wtcache.status})
	  // 'no answer';
}

# One commit has to succeed before the others push again.
sub close_breaker
{
	Faultloop::Servers::wait_until(
		30,
		sub {
			($servers->sql('UPDATE probe SET seq = seq + 1;'
				  . ' SELECT breaker FROM wtcache.status') // '') =~ /closed/;
		})
	  or violate('BREAKER', 'it does not close');
}

sub compare
{
	my $before = time;
	my @wrong = $quiet->compare($round{may_miss} || $o{absent});
	my $missing = $quiet->missing;

	push @wrong, $quiet->verify(rand() < 0.3) if $o{operators};
	push @wrong, $quiet->status unless $o{'no-replay'};
	push @wrong, $quiet->resources;
	push @wrong, $quiet->log_lines;
	violate(@$_) foreach @wrong;
	$compared++;
	$missed += $missing;
	say_at(sprintf 'compared in %.1f s, %d missing, %d wrong', time - $before,
		$missing, scalar @wrong);
}

sub rest
{
	my $since;

	heal();
	$since = time;
	come_to_rest();
	say_at(sprintf 'at rest after %.2f s', time - $since);
	wait_all();
	push @heal_times, time - $since;
	say_at(sprintf 'all pushed after %.2f s; %s', $heal_times[-1], replayed());
	close_breaker();
	wait_all();
	compare();
}

# Which of the names the next round has; the first one has them all, and one
# that goes on because something was not seen.
sub mix
{
	my ($names, %bit) = @_;
	my $mix = 0;

	foreach my $name (split /,/, $names)
	{
		my $bit = $bit{$name} || die "not known: $name\n";

		$mix |= $bit
		  if $rounds == 0 || time >= $begun + $o{seconds} || rand(100) < $o{mix};
	}
	return $mix;
}

# Nothing is done to anyone; commits must go on.
sub calm_phase
{
	my $until = time + $o{calm};
	my $before;

	%round = ();
	$control->make_odd('TROUBLE', 0);
	# the bits are those of faultloop.h
	$control->set('MIX', mix($o{kinds}, prepared => 1, async => 2, big => 4));
	$control->set('AT_WORK',
		mix($o{operators}, verify => 1, warm => 2, plant => 4, schema => 8));
	$control->set('CALM', ++$rounds);
	$control->set('RUN', 1);
	$before = $control->get('COMMITS');
	while (time < $until && !enough())
	{
		reap();
		sleep 0.05;
	}
	violate('STUCK', 'no commit in a calm phase')
	  if $o{calm} >= 2 && $control->get('COMMITS') == $before && !enough();
	$control->set('CALM', 0);
}

# ---------------------------------------------------------------------------
# The report
# ---------------------------------------------------------------------------

sub percentile
{
	my ($p) = @_;
	my @sorted = sort { $a <=> $b } @heal_times;

	return @sorted ? $sorted[ int($p * $#sorted + 0.5) ] : 0;
}

sub line { printf "%-44s %s\n", @_; }

sub report
{
	my %seen = $control->violations;
	my $sum = 0;

	$seen{$_} += $violations{$_} foreach keys %violations;
	$sum += $_ foreach values %seen;
	print "\n";
	line('seconds, rounds', sprintf('%.0f, %d', time - $begun, $rounds));
	line(lc =~ tr/_/ /r, $control->get($_))
	  foreach qw(COMMITS ROWS ROLLBACKS SAVEPOINTS ASYNC PREPARES
	  COMMIT_PREPARED ROLLBACK_PREPARED BIG PAGES UNKNOWN ERRORS CONNECTIONS READS
	  PAGES_READ CHECKED CHECKED_SURE CHECKED_PRESENT CHECKED_AHEAD ABSENT READ_ERRORS
	  VERIFIES VERIFIES_SURE VERIFY_IN_FLIGHT CLEARS DETACHES WARMS WARMS_RESUMED
	  WARMS_NOT_BEGUN WARMS_FINISHED PLANTED PLANTED_FOUND PLANTED_REPAIRED RACES
	  SCHEMA_CHANGES SHAPES_READ SHAPES_SURE);
	line('comparisons, missing with reason in all', "$compared, $missed");
	line('longest commit, in calm (s)', sprintf('%.3f, %.3f',
			$control->get('STALL_US') / 1e6,
			$control->get('CALM_STALL_US') / 1e6));
	line('time to heal p50, p99 (s)',
		sprintf('%.2f, %.2f', percentile(0.5), percentile(0.99)));
	line($_, $quiet->{latest}{$_}) foreach sort keys %{ $quiet->{latest} };
	line("fault $_", ($done{$_} // 0) . " of $tried{$_}") foreach sort keys %tried;
	line("violations $_", $seen{$_}) foreach sort keys %seen;
	line('faults', eval { my $n = 0; $n += $_ foreach values %done; $n });
	line('violations', $sum);
	return $sum;
}

# ---------------------------------------------------------------------------
# Here it begins
# ---------------------------------------------------------------------------

my @themes = split /,/, $o{themes};

start();
while (!over())
{
	# in turn, beginning with the one that sees most
	my $theme = $themes[ $rounds % @themes ];

	say_at("round $theme");
	calm_phase();
	fault_phase($theme);
	rest() unless enough();
}
my $sum = report();
finish();
exit($sum > 0 ? 3 : 0);
