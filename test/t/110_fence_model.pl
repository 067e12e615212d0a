# The scripts against a model: random schedules of everything that can happen
# between some transactions and what their clients read from Redis.
#
# The scripts are the real ones.  Two things are replaced in their text: the
# clock, which a schedule sets, and the limits for one call, which are lowered
# in some calls, so that a handful of keys is a large tag.  A schedule commits
# transactions, most of them right behind their message, some when others have
# written theirs and been committed, and sends their pushes in any order: late,
# twice, in chunks with a pause in between, some of them as the replay worker
# does: created later than they were committed, or than they were in progress,
# and sometimes without knowing where an image was committed.
# In between, values, leases and fences are lost, the clock runs on or is set
# back, tags are invalidated, readers fill what they miss, the server is full,
# and something else stands where a tag should be.
#
# Messages and commits have a number each, of one sequence: positions in WAL.
# A key's values go by the numbers of the messages, for the row is locked
# between message and commit; what concerns tags goes by those of the commits.
#
# What must hold whatever happens:
# - after a push has arrived, nobody reads an older value of its keys;
# - nobody reads a value older than one that has been read before;
# - after a tag's invalidation has arrived, and been finished, nobody reads a
#   value of this tag that was committed before it was, nor does an older lease
#   of a member stand;
# - a value is in the set of each of its tags, unless that is being emptied;
# - a push leaves no lease of its keys;
# - a replayed invalidation leaves, also when it has been finished, what was
#   committed after it, however early it was written, and what its own
#   transaction has written; another one leaves nothing of what was there;
# - a push tells the worker's generation as long as the fence is not lost;
# - in the end, a value is the newest or absent; and when all of the log has
#   been replayed it is there, if no reader stands against it and no tag of it
#   was invalidated by who was committed later.
#
# Then the scripts again with one of their rules broken: each must be found
# out, or this test is worth nothing.
#
# WTC_SEED selects other schedules, WTC_SCHEDULES how many; WTC_SCHEDULE is the
# number of a single one to be run and shown, with the mutant WTC_MUTANT if
# that is set.

use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;
use Time::HiRes qw(time);
use Wtcache::Redis;
use Wtcache::Resp;

my $seed = $ENV{WTC_SEED} // 1;
my $schedules = $ENV{WTC_SCHEDULES} // 10000;
my $bound = 30000;    # a mutant must be found within so many

use constant WINDOW => 10_000_000;
my @fences = ('wtcache:fence:0', 'wtcache:fence:1');
my @all_keys = ('k1' .. 'k4');
my @all_tags = ('tag:a', 'tag:b');
my $letters = 0;     # versions with letters, which must not be used

# ---------------------------------------------------------------------------
# The scripts
# ---------------------------------------------------------------------------

sub script_text
{
	my ($name) = @_;

	open(my $file, '<', "$FindBin::RealBin/../../src/redis/$name.lua")
	  or die "could not read $name.lua: $!";
	local $/;
	return <$file>;
}

# Replace what must be there exactly once.
sub replace
{
	my ($text, $from, $to) = @_;
	my $at = index($text, $from);

	die "not found in the script: $from"
	  if $at < 0 || index($text, $from, $at + 1) >= 0;
	substr($text, $at, length $from) = $to;
	return $text;
}

my $clock = q{{string.match(redis.call('GET', 'test:time'), '(%d+) (%d+)')}};
my %original = (
	apply => replace(script_text('apply'), q{call('TIME')}, $clock),
	drain => script_text('drain'));

# What a reader does.  It reads the row under its lease.  What it has read may
# be as old as its snapshot and not newer than the bound that it brings.
my $fill = q{
local key, token, bound, value = KEYS[3], ARGV[1], ARGV[2], ARGV[3]
local lease = 'wtcache:lease:' .. key
if redis.call('GET', lease) ~= token or redis.call('EXISTS', key) == 1 then
  return 0
end
for i = 4, #ARGV do
  if redis.pcall('SISMEMBER', ARGV[i], key) ~= 1 then
    return 0
  end
end
local a = redis.pcall('HMGET', KEYS[1], '\0b', '\0s', key)
local b = redis.pcall('HMGET', KEYS[2], '\0b', '\0s', key)
if not (a[1] and a[2] and b[1] and b[2]) then
  return 0
end
redis.call('UNLINK', lease)
local cur = KEYS[1]
if tonumber(b[1]) > tonumber(a[1]) then
  cur, a, b = KEYS[2], b, a
end
local record = a[3] or b[3]
if record and string.sub(record, 2, 28) > bound then
  bound = string.sub(record, 2, 28)
end
redis.call('HSET', cur, key, '1' .. bound)
redis.call('SET', key, value, 'PX', 3600000)
return 1
};

# For each key: the value, its lease, and a digit for each tag whose set holds
# it; the value of a hash only if it is as a push writes it.
my $probe = q{
local result = {}
for i, key in ipairs(KEYS) do
  local value = redis.pcall('GET', key)
  if type(value) == 'table' then
    local version = redis.call('HGET', key, 'v') or 'none'
    value = redis.call('HLEN', key) == 2 and
      redis.call('HGET', key, 'f' .. version) and version or 'mixed'
  end
  local held = ''
  for _, tag in ipairs(ARGV) do
    held = held .. (redis.pcall('SISMEMBER', tag, key) == 1 and 1 or 0)
  end
  result[i] = {value, redis.call('GET', 'wtcache:lease:' .. key), held}
end
return result
};

# Load a set of scripts; some break them.
sub load_scripts
{
	my ($resp, $break) = @_;
	my %text = %original;
	my %sha;

	$break->(\%text) if $break;
	$text{apply_low} =
	  replace($text{apply}, 'local LIMIT = 1000', 'local LIMIT = 1');
	$text{drain_low} =
	  replace($text{drain}, 'budget, left = 1000', 'budget, left = 1');
	$text{fill} = $fill;
	$text{probe} = $probe;
	foreach my $name (sort keys %text)
	{
		my $reply = $resp->command('SCRIPT', 'LOAD', $text{$name});
		die "$name: $$reply" if Wtcache::Resp::is_error($reply);
		$sha{$name} = $reply;
	}
	return \%sha;
}

# ---------------------------------------------------------------------------
# Schedules
# ---------------------------------------------------------------------------

sub version
{
	my ($n) = @_;

	# Steps that change many digits, and a few of them all, of the timeline, too;
	# with letters, A38, A70, AA8, AE0, B18 ...
	return $letters
	  ? sprintf('%08d%019X', 1, 0xA00 + $n * 0x38)
	  : sprintf('%08d%019d', 1 + int($n / 9), $n * 457);
}

sub chance { return rand() < $_[0]; }
sub one_of { return $_[ rand @_ ]; }

# Independent of the other schedules', so that one can be run alone
sub seed_schedule
{
	my ($number) = @_;
	my $x = ($seed * 2654435761 + $number * 40503) & 0xffffffff;

	$x = (($x ^ ($x >> 15)) * 0x2c1b3c6d) & 0xffffffff;
	$x = (($x ^ ($x >> 12)) * 0x297a2d39) & 0xffffffff;
	srand($x ^ ($x >> 15));
	return;
}

# Most schedules are a mixture, some keep to one thing.
my %themes = (
	fill => { keys => 1, tags => 0, fills => 3, losses => 0.4, times => 0.2 },
	lose => { keys => 1, tags => 0, fills => 0, losses => 3, times => 0.1 },
	rotate => { keys => 1, tags => 1, fills => 0, losses => 0.1, times => 1 },
	replay => { keys => 2, tags => 1, fills => 0, losses => 0.2, times => 0.3 },
	order => { keys => 2, tags => 1, fills => 0, losses => 0.1, times => 0.1 },
	drain => { keys => 3, tags => 1, fills => 0, losses => 0.1, times => 0.1 },
	refill => { keys => 3, tags => 1, fills => 3, losses => 1, times => 0.1 },
	large => { keys => 4, tags => 1, fills => 1, losses => 0.1, times => 0.2 });

# Queue the commands of a schedule; returns its events, [ what, reply, ... ].
# Those without a reply of interest are for whoever reads the schedule.
sub schedule
{
	my ($resp, $sha, $number, $theme) = @_;

	seed_schedule($number);

	# What this schedule is about
	my $drawn = one_of('', '', '', sort keys %themes);
	$theme ||= $drawn;
	my %about = $theme
	  ? %{ $themes{$theme} }
	  : (
		keys => one_of(1, 1, 2, 2, 3),
		tags => one_of(0, 1, 1, 2),
		fills => one_of(0, 1, 1, 3),
		losses => one_of(0, 0.5, 1, 1, 2),
		times => one_of(0.3, 1, 2));
	my $low = $theme =~ /large|drain|refill/;
	my @keys = @all_keys[ 0 .. $about{keys} - 1 ];
	my @tags = @all_tags[ 0 .. $about{tags} - 1 ];
	my $invalidations = $theme ? 0.5 : one_of(0, 0.2, 0.5);
	# invalidations that change no row
	my $alone =
	  $theme =~ /order|replay|drain|refill/ ? 0.3 : $theme ? 0.7 : 0.1;
	my $prompt = $theme eq 'refill' ? 0.7 : $theme ? 0.3 : one_of(0.1, 0.4, 0.7);
	my $replays = $theme =~ /replay|drain|refill/ ? 0.5 : one_of(0, 0.1, 0.4);
	# commits that others overtake
	my $slow =
	  $theme =~ /order|drain/ ? 0.5 : $theme ? 0.1 : one_of(0, 0, 0, 0.3);
	# transactions in several chunks, and those of several messages
	my $split = $theme =~ /replay|drain/ ? 0.6 : 0.2;
	my $giants = $theme =~ /replay|drain/ ? 0.7 : 0.3;
	my $hashes = chance(0.15);
	my $back = chance($theme ? 0.05 : 0.3);
	my $full = chance($theme ? 0.05 : 0.25);
	my $spoil = @tags && chance($theme ? 0.05 : 0.25);

	my $now = 1_700_000_000_000_000;
	my $latest = $now;
	my $unnoticed = 1;    # the fence has been lost, no push came since
	my $blind = 0;        # ... and the clock did not tell when
	my @created;          # when pushes were
	my @events;
	my $is_full = 0;
	my ($lsn, %row) = (0);    # the tables: key => [ version, tags, commit ]
	my (@open, %locked);      # transactions not yet committed; rows of theirs
	my @log;                  # all chunks of those that are
	my (@waiting, @old);      # pushes that have not arrived; that have
	my @fills;

	my $note = sub { push @events, [ shift, undef, @_ ]; };
	my $set_time = sub {
		my ($step) = @_;

		# When the clock was set back and then the fence was lost, nobody can
		# know of what was created in that time, once it is there again.
		$step = 0 if $blind && grep { $_ > $now && $_ <= $now + $step } @created;
		$now += $step;
		$latest = $now if $latest < $now;
		$resp->queue('CONFIG', 'SET', 'maxmemory', 0) if $is_full;
		$resp->queue('SET', 'test:time',
			sprintf('%d %06d', $now / 1_000_000, $now % 1_000_000));
		$resp->queue('CONFIG', 'SET', 'maxmemory', 1) if $is_full;
	};
	my $look = sub {
		push @events,
		  [
			'look',
			$resp->queue('EVALSHA', $sha->{probe}, scalar @keys, @keys, @tags),
			\@keys, \@tags, @_
		  ];
	};
	my $drain = sub {
		push @events,
		  [ 'drain', $resp->queue('EVALSHA', $sha->{ $_[0] }, 0) ];
	};

	# A push is a list of chunks: { n, commit, created, tags, ops }.
	my $send = sub {
		my ($chunk) = @_;
		my @ops = @{ $chunk->{ops} };
		my @held = map { $_->{key} } @ops;
		my @args;

		foreach my $op (@ops)
		{
			if ($op->{kind} eq 'd')
			{
				push @args, 'd';
			}
			else
			{
				push @args, $op->{kind}, 3600000, 3660000,
				  $op->{kind} eq 's'
				  ? $op->{value}
				  : (4, 'v', $op->{value}, "f$op->{value}", 1);
				push @args, scalar @{ $op->{tags} }, @{ $op->{tags} };
			}
			push @args, scalar @{ $op->{removed} }, @{ $op->{removed} };
		}
		# Whose leases an invalidation has to void
		$look->('before') if @{ $chunk->{tags} };
		$unnoticed = 0;
		my $script = $low && chance($theme eq 'refill' ? 0.5 : 0.8)
		  ? 'apply_low'
		  : 'apply';
		push @events,
		  [
			'push',
			$resp->queue('EVALSHA', $sha->{$script}, 2 + @ops, @fences, @held,
				version($chunk->{n}), $chunk->{created}, WINDOW,
				version($chunk->{commit}), $chunk->{replay} // 0,
				scalar @{ $chunk->{tags} }, @{ $chunk->{tags} }, @args),
			$chunk, $chunk->{replay} ? 'replay' : ()
		  ];
		$look->('after', $chunk);
		if (@{ $chunk->{tags} } && $low)
		{
			$drain->('drain_low') foreach 1 .. one_of(0, 0, 1, 2, 3);
			$look->('drained');
		}
	};
	my $commit = sub {
		my ($chunks) = @_;

		$lsn++;
		foreach my $chunk (@$chunks)
		{
			$chunk->{commit} = $lsn;
			foreach my $op (@{ $chunk->{ops} })
			{
				my $key = $op->{key};

				$op->{commit} = $lsn;
				delete $locked{$key};
				if ($op->{kind} eq 'd')
				{
					delete $row{$key};
					next;
				}
				$op->{value} = "$op->{n}:$lsn:$op->{names}";
				$row{$key} = [ $op->{n}, $op->{tags}, $lsn ];
			}
		}
		push @log, @$chunks;
		$note->('commit', @$chunks);
		if (chance($prompt))
		{
			$send->($_) foreach @$chunks;
			push @old, $chunks if @$chunks;
		}
		elsif (@$chunks)
		{
			push @waiting, $chunks;
		}
	};
	my $commit_open = sub {
		my $chunks = splice(@open, rand @open, 1);

		# A last look at it: it is still in progress.
		push @created, $now;
		$_->{seen} = $now foreach @$chunks;
		$commit->($chunks);
	};
	my $begin = sub {
		my $created = $now - one_of(0, 0, 0, 1, 1000, 500_000, WINDOW / 2);
		my (@ops, @invalidated, @chunks);

		push @created, $created;
		@invalidated = grep { chance(0.7) } @tags if chance($invalidations);
		foreach my $key (@invalidated && chance($alone) ? () : @keys)
		{
			my $x = rand;
			my $was = $row{$key} ? $row{$key}[1] : [];

			next if $locked{$key};
			if ($x < (@keys > 1 ? 0.5 : 0.75))
			{
				my @carried = grep { chance($low ? 0.8 : 0.5) } @tags;
				my %carries = map { $_ => 1 } @carried;

				push @ops,
				  {
					key => $key,
					kind => $hashes && chance(0.5) ? 'h' : 's',
					names => join('', map { /tag:(.)/ } @carried),
					tags => \@carried,
					removed => [ grep { !$carries{$_} } @$was ]
				  };
			}
			elsif ($x < (@keys > 1 ? 0.65 : 0.95))
			{
				push @ops, { key => $key, kind => 'd', removed => $was };
			}
		}

		# One chunk or two, of one message or, if it is a giant, two; tags come
		# first
		my $all = @ops + @invalidated;
		my $first = chance($split) ? int rand $all : $all;
		my $giant = chance($giants);
		$lsn++;
		foreach my $part ([ 0, $first ], [ $first, $all ])
		{
			my ($from, $to) = @$part;
			my @both = (@invalidated, @ops);

			next if $from == $to;
			$lsn++ if @chunks && $giant;
			push @chunks,
			  {
				n => $lsn,
				created => $created,
				tags => [ grep { !ref } @both[ $from .. $to - 1 ] ],
				ops => [ grep { ref } @both[ $from .. $to - 1 ] ]
			  };
			$_->{n} = $lsn foreach @{ $chunks[-1]{ops} };
		}
		if (@chunks && chance($slow))
		{
			$locked{ $_->{key} } = 1 foreach @ops;
			push @open, \@chunks;
			$note->('begin', @chunks);
		}
		else
		{
			$commit->(\@chunks);
		}
	};
	# As the worker makes it of chunks of the log, knowing others.  First come
	# the invalidations, of each tag those that are news.  Then the last
	# operation of each key; if a tag of it was invalidated by who was committed
	# later it only deletes.  Where images were committed may be unknown, if
	# those are too many: then it goes by their message.
	my $replay_of = sub {
		my ($created, $known, @chunks) = @_;
		my $unknown = $known != \@log || @chunks < @log ? chance(0.1) : 0;
		my (%last, %invalidated, %told, @replayed);

		foreach my $chunk (@$known)
		{
			foreach my $key (map { $_->{key} } @{ $chunk->{ops} })
			{
				$last{$key} = $chunk->{n} if ($last{$key} // 0) < $chunk->{n};
			}
			foreach my $tag (@{ $chunk->{tags} })
			{
				$invalidated{$tag} = $chunk->{commit}
				  if ($invalidated{$tag} // 0) < $chunk->{commit};
			}
		}
		@chunks = sort { $a->{n} <=> $b->{n} } @chunks;
		foreach my $chunk (@chunks)
		{
			my @news =
			  grep { ($told{$_} // 0) < $chunk->{commit} } @{ $chunk->{tags} };

			$told{$_} = $chunk->{commit} foreach @news;
			push @replayed, { %$chunk, tags => \@news, ops => [] } if @news;
		}
		foreach my $chunk (@chunks)
		{
			my @ops;

			foreach my $op (@{ $chunk->{ops} })
			{
				my $over = $op->{n} < $last{ $op->{key} };

				next if $over && !@{ $op->{removed} };
				$over ||=
				  grep { ($invalidated{$_} // 0) > $op->{commit} }
				  @{ $op->{tags} || [] };
				push @ops, $over ? { %$op, kind => 'd', over => 1 } : $op;
			}
			push @replayed,
			  {
				%$chunk,
				tags => [],
				ops => \@ops,
				commit => $unknown ? $chunk->{n} : $chunk->{commit}
			  }
			  if @ops;
		}
		foreach my $chunk (@replayed)
		{
			$chunk->{created} = $created;
			$chunk->{replay} = 1;
		}
		push @created, $created;
		return @replayed;
	};
	# A transaction that was parked while it was in progress, this one alone, or
	# all of the log from it on.
	my $replay_some = sub {
		my ($chunks) = @_;
		my ($first) = @$chunks;

		return defined $first->{seen} && chance(0.3)
		  ? $replay_of->($first->{seen}, $chunks, @$chunks)
		  : $replay_of->(
			$now, \@log,
			chance(0.5)
			? @$chunks
			: grep { $_->{commit} >= $first->{commit} } @log);
	};
	my $arrive = sub {
		my ($chunks) = @_;
		my ($first, @rest) = @$chunks;

		if (!$first->{replay} && chance($replays))
		{
			my @replayed = $replay_some->($chunks);

			if (chance(0.1))
			{
				# The worker stops at some point, and will have to come back.
				splice(@replayed, rand @replayed);
				push @waiting, $chunks;
			}
			push @old, $chunks;
			if (@replayed && chance(0.3)) { push @waiting, \@replayed; }
			else { $send->($_) foreach @replayed; }
			return;
		}
		if (@rest && chance(0.3))
		{
			# Only the first; all of it once more, or the rest
			$send->($first);
			push @waiting, chance(0.5) ? $chunks : \@rest;
			return;
		}
		$send->($_) foreach @$chunks;
		push @old, $chunks;
	};
	my $again = sub { $arrive->($old[ chance(0.5) ? -1 : rand @old ]); };
	my $lose = sub {
		# to be filled again, keys only
		my $x = $theme eq 'refill' ? 0.55 + rand 0.25 : rand;
		my $key = one_of(@keys);
		my @lost =
		    $x < 0.2 ? $fences[0]
		  : $x < 0.4 ? $fences[1]
		  : $x < 0.55 ? @fences
		  : $x < 0.8 ? $key
		  : $x < 0.9 ? ($fences[ rand 2 ], $key)
		  : "wtcache:lease:$key";

		if ($x < 0.55 || $x >= 0.8 && $x < 0.9)
		{
			$unnoticed = 1;
			$blind = 1 if $now < $latest;
		}
		$note->('lose', @lost);
		$resp->queue('DEL', @lost);
		# Or something else stands there now.
		$resp->queue('SET', $lost[0], 'x') if $x < 0.4 && chance(0.2);
	};
	my $take_lease = sub {
		my $key = one_of(@keys);
		my $token = sprintf('%08d', rand 1e8);

		# The reader's snapshot is taken afterwards.
		$note->('lease', $key, "snapshot $lsn", $token);
		$resp->queue('SET', "wtcache:lease:$key", $token);
		push @fills, [ $key, $token, $row{$key}, $lsn ];
	};
	my $end_fill = sub {
		my ($key, $token, $seen, $snapshot) =
		  @{ splice(@fills, rand @fills, 1) };
		my @carried;

		return unless $seen;
		@carried = @{ $seen->[1] };
		$note->('fill', $key, "version $seen->[0]", "bound $lsn");
		$resp->queue(
			'EVALSHA', $sha->{fill},
			3, @fences, $key, $token, version($lsn),
			"$seen->[0]:$snapshot:" . join('', map { /tag:(.)/ } @carried),
			@carried);
		$look->('filled');
	};
	my $pass = sub {
		my $step = one_of(1, 1000, int(WINDOW / 3), WINDOW / 2, WINDOW - 1, WINDOW,
			WINDOW + 1, 2 * WINDOW);

		$step = -one_of(1, 1000, WINDOW / 2, WINDOW, 5 * WINDOW)
		  if $back && chance(0.3);
		$blind = 1 if $step < 0 && $unnoticed;
		$note->('clock', $step);
		$set_time->($step);
	};
	my $fill_up = sub {
		$is_full = !$is_full;
		$note->($is_full ? 'full' : 'not full');
		$resp->queue('CONFIG', 'SET', 'maxmemory', $is_full ? 1 : 0);
	};
	my $spoil_tag = sub {
		my $tag = one_of(@tags);

		$note->('spoil or mend', $tag);
		# As long as it is not in use: whoever deletes a set has to bear it.
		$resp->queue(chance(0.6) ? ('SET', $tag, 'x', 'NX') : ('GETDEL', $tag));
	};
	my $go_on_draining = sub { $drain->('drain_low'); $look->('drained'); };

	$resp->queue('FLUSHALL');
	$set_time->(0);
	# The handshake, unless the server was emptied since
	if (chance(0.85))
	{
		$resp->queue('EVALSHA', $sha->{apply},
			2, @fences, version(0), 0, WINDOW, version(0), 0, 0);
		$unnoticed = 0;
		# The worker has met it.
		$resp->queue('HSET', $_, "\0g", 7) foreach @fences;
		$note->('adopt', 7);
	}

	my $left = 3 + int rand 6;
	foreach my $step (1 .. 40)
	{
		my @choice = (
			[ $left ? 6 : 0, sub { $left--; $begin->(); } ],
			[ @open ? 3 : 0, $commit_open ],
			[
				@waiting ? 5 : 0,
				sub { $arrive->(splice(@waiting, rand @waiting, 1)); }
			],
			[ !@old ? 0 : $theme ? 2 : 0.4, $again ],
			[ $about{losses}, $lose ],
			[ $about{times}, $pass ],
			[ $about{fills}, $take_lease ],
			[ @fills ? 2 : 0, $end_fill ],
			[ $full ? 1 : 0, $fill_up ],
			[ $spoil ? 1 : 0, $spoil_tag ],
			[ $low ? 0.5 : 0, $go_on_draining ]);
		my $x = 0;

		$x += $_->[0] foreach @choice;
		$x = rand $x;
		foreach my $c (@choice)
		{
			next if ($x -= $c->[0]) > 0 || !$c->[0];
			$c->[1]->();
			last;
		}
		$set_time->(one_of(1, 7, 300)) if chance(0.5);
		last if !$left && !@open && !@waiting && !@fills;
	}
	$commit_open->() while @open;
	while (@waiting)
	{
		$send->($_) foreach @{ splice(@waiting, rand @waiting, 1) };
	}
	$end_fill->() while @fills;
	$drain->('drain');
	if ($is_full)
	{
		$is_full = 0;
		$resp->queue('CONFIG', 'SET', 'maxmemory', 0);
	}
	$look->('end', { map { $_ => $row{$_}[0] } keys %row });

	# All of the log once more.  The fence has to be there before.
	if (!$back && !$spoil && !$about{fills})
	{
		my (%invalidated, %expected);

		$resp->queue('EVALSHA', $sha->{apply},
			2, @fences, version(0), 0, WINDOW, version(0), 0, 0);
		$set_time->(1);
		$send->($_) foreach $replay_of->($now, \@log, @log);
		$drain->('drain');
		foreach my $chunk (@log)
		{
			# the log is in the order of the commits
			$invalidated{$_} = $chunk->{commit} foreach @{ $chunk->{tags} };
		}
		foreach my $key (keys %row)
		{
			my ($n, $carried, $commit) = @{ $row{$key} };

			$expected{$key} = $n
			  unless grep { ($invalidated{$_} // 0) > $commit } @$carried;
		}
		$look->('replayed', \%expected);
	}
	return \@events;
}

# ---------------------------------------------------------------------------
# The model
# ---------------------------------------------------------------------------

my %reached;    # how often what happened, for the report

# Go through the events of a schedule; returns its violations.
sub check
{
	my ($events, $replies) = @_;
	my @bad;
	my (%arrived, %invalidated, %finished, %read, %watched);
	my ($draining, $before, $generation) = (0, undef, '');
	my (%recorded, %spared, %taken, %left);
	my ($live_draining, $replay_draining) = (0, 0);
	my $finish = sub {
		%finished = %invalidated;
		$draining = $live_draining = $replay_draining = 0;
	};
	my $void = sub {
		my ($seen) = @_;

		foreach my $w (values %watched)
		{
			push @bad, "the lease of $w->[0] survives the invalidation"
			  if ($seen->{ $w->[0] }[1] // '') eq $w->[1];
		}
		foreach my $key (keys %left)
		{
			push @bad, "$key: $left{$key} survives an invalidation that is no replay"
			  if ($seen->{$key}[0] // '') eq $left{$key};
		}
		%watched = %left = ();
	};

	foreach my $event (@$events)
	{
		my ($what, $at, @more) = @$event;
		my $reply = defined $at ? $replies->[$at] : undef;

		if (Wtcache::Resp::is_error($reply))
		{
			push @bad, "$what: $$reply";
		}
		elsif ($what eq 'adopt')
		{
			$generation = $more[0];
		}
		elsif ($what eq 'lose')
		{
			delete @spared{@more};
			next unless grep { /fence/ } @more;
			$generation = '';
			%recorded = ();
			%spared = ();
		}
		elsif ($what eq 'clock')
		{
			# records may be forgotten
			%recorded = ();
			%spared = ();
		}
		elsif ($what eq 'spoil or mend')
		{
			# what cannot join its tag again has to go
			%spared = ();
		}
		elsif ($what eq 'lease')
		{
			my ($key, $snapshot, $token) = @more;

			($taken{$token}) = $snapshot =~ /(\d+)/;
		}
		elsif ($what eq 'fill')
		{
			delete $recorded{ $more[0] };
			delete $left{ $more[0] };
		}
		elsif ($what eq 'push')
		{
			my ($chunk) = @more;
			my ($now, $stored, $older, $degraded, $oom, $wrong, $failed, $sets,
				$version, $said) = @$reply;
			my ($n, $commit) = ($chunk->{n}, $chunk->{commit});

			push @bad, 'another version came back'
			  if $version ne version($n);
			push @bad, 'stored, ignored and failed are not all'
			  if !$wrong
			  && $stored + $older + $degraded + $oom + $failed <
			  grep { $_->{kind} ne 'd' } @{ $chunk->{ops} };
			push @bad, "the generation is '$said', not '$generation'"
			  if $said ne $generation;
			$reached{pushes}++;
			$reached{replays}++ if $chunk->{replay};
			$reached{slow}++ if defined $chunk->{seen};
			$reached{stored} += $stored;
			$reached{older} += $older;
			$reached{degraded} += $degraded;
			$reached{oom} += $oom;
			$reached{wrongtype} += $wrong;
			foreach my $op (@{ $chunk->{ops} })
			{
				my $key = $op->{key};

				# one that others have overtaken is ignored, if it is there
				$arrived{$key} = [ $n, $op->{over} ? 'over' : $op->{kind} ]
				  if !$arrived{$key} || $arrived{$key}[0] <= $n;
				$recorded{$key} = [ $n, $commit ]
				  if !$recorded{$key} || $recorded{$key}[0] < $n;
				# of two that say different things, the record may be either's
				$recorded{$key}[1] = $commit
				  if $recorded{$key}[0] == $n && $recorded{$key}[1] > $commit;
				delete $spared{$key};
				delete $left{$key};
			}
			next unless @{ $chunk->{tags} };
			$reached{invalidations}++;
			if ($sets)
			{
				$reached{large}++;
				$draining = 1;
			}
			if ($sets && $chunk->{replay})
			{
				# It may be the same tag, or even the same invalidation.
				$replay_draining = 1;
				%left = ();
				delete @watched{ grep { $watched{$_}[2] } keys %watched };
			}
			elsif ($sets)
			{
				$live_draining = 1;
			}
			# If it failed in part, it is not known in which.
			%spared = () if $wrong || !$chunk->{replay};
			next if $wrong;
			if ($chunk->{replay})
			{
				foreach my $key (keys %$before)
				{
					my ($value, undef, $held) = @{ $before->{$key} };
					my ($v, $as_of) = ($value // '') =~ /^(\d+):(\d+):/;
					my $record = $recorded{$key};

					delete $spared{$key};
					next unless $v && $record && $record->[0] == $v;
					next if $record->[1] < $commit || $live_draining;
					# what another one has moved aside may have to go
					next
					  if $draining && grep { $_ > $record->[1] } values %invalidated;
					$spared{$key} = $v;
					next unless $held =~ /1/;
					$reached{ $as_of > $commit ? 'spared' : 'own' }++;
					$reached{early}++ if $v < $commit && $as_of > $commit;
					$reached{sibling}++ if $v != $n && $as_of == $commit;
					$reached{aside}++ if $sets;
				}
			}
			foreach my $tag (@{ $chunk->{tags} })
			{
				my $digit = index(join('', @all_tags), $tag) / 5;

				$invalidated{$tag} = $commit
				  if ($invalidated{$tag} // 0) < $commit;
				foreach my $key (keys %$before)
				{
					my ($value, $lease, $held) = @{ $before->{$key} };

					next unless substr($held, $digit, 1);
					$left{$key} = $value
					  if defined $value
					  && !$chunk->{replay}
					  && !$replay_draining
					  && !grep { $_->{key} eq $key } @{ $chunk->{ops} };
					# those of what is spared are, too; they are newer
					next unless defined $lease;
					my $newer = $taken{$lease} >= $commit;
					next if $newer && ($chunk->{replay} || $replay_draining);
					$watched{"$key $lease"} = [ $key, $lease, $newer ];
				}
			}
			$finish->() if !$sets;
		}
		elsif ($what eq 'drain')
		{
			$reached{drains}++ if $draining;
			$finish->() if !$reply;
		}
		elsif ($what eq 'look')
		{
			my ($keys, $tags, $when, $about) = @more;
			my (%seen, %lease);

			for my $i (0 .. $#$keys)
			{
				my $key = $keys->[$i];
				my ($value, $lease, $held) = @{ $reply->[$i] };

				$seen{$key} = $reply->[$i];
				$lease{$key} = $lease;
				push @bad, "$key: $spared{$key} is gone after an invalidation was"
				  . ' replayed that was committed earlier, or its own'
				  if $spared{$key} && ($value // '') !~ /^$spared{$key}:/;
				push @bad, "$key: absent after all has been replayed"
				  if $when eq 'replayed' && $about->{$key} && !defined $value;
				next unless defined $value;

				my ($v, $as_of, $carried) = $value =~ /^(\d+):(\d+):(\w*)$/
				  or push @bad, "$key: a value as nobody wrote it: $value"
				  and next;
				$reached{reads}++;
				if (my $a = $arrived{$key})
				{
					push @bad, "$key: $v is read after $a->[0] was pushed"
					  if $v < $a->[0];
					push @bad, "$key: $v is read after it was deleted"
					  if $v == $a->[0] && $a->[1] eq 'd';
				}
				push @bad, "$key: $v is read after $read{$key}"
				  if $v < ($read{$key} // 0);
				$read{$key} = $v;
				for my $t (0 .. $#$tags)
				{
					my $tag = $tags->[$t];

					next unless index($carried, substr($tag, 4)) >= 0;
					push @bad, "$key: $v is read after its tag $tag was"
					  . " invalidated by $finished{$tag}"
					  if $as_of < ($finished{$tag} // 0);
					push @bad, "$key is not in the set of its tag $tag"
					  if !$draining && !substr($held, $t, 1);
				}
				push @bad, "$key: $v in the end, and the row is "
				  . ($about->{$key} // 'gone')
				  if $when eq 'end' && $v ne ($about->{$key} // 'gone');
			}
			%spared = () if !$draining;
			if ($when eq 'before')
			{
				$before = \%seen;
			}
			elsif ($when eq 'after')
			{
				defined $lease{ $_->{key} }
				  and push @bad, "the lease of $_->{key} survives the push"
				  foreach @{ $about->{ops} };
			}
			$void->(\%seen) if !$draining;
		}
	}
	my %said;
	return grep { !$said{$_}++ } @bad;
}

# What happened, for reading
sub show
{
	my ($events, $replies) = @_;
	my @lines;

	foreach my $event (@$events)
	{
		my ($what, $at, @more) = @$event;
		my $reply = defined $at ? $replies->[$at] : undef;
		my $text = join(' ', grep { !ref } @more);

		foreach my $chunk (
			$what =~ /^(begin|commit|push)$/ ? grep { ref } @more : ())
		{
			$text .= sprintf ' %d:%s created ..%08d {%s}', $chunk->{n},
			  $chunk->{commit} // '', $chunk->{created} % 100_000_000,
			  join '; ',
			  (map { "invalidate $_" } @{ $chunk->{tags} }),
			  map {
				    "$_->{kind} $_->{key}"
				  . ($_->{kind} ne 'd' ? " [@{$_->{tags}}]" : '')
				  . (@{ $_->{removed} } ? " removed [@{$_->{removed}}]" : '')
			  } @{ $chunk->{ops} };
		}
		if ($what eq 'look')
		{
			$text = $more[2];
			for my $i (0 .. $#{ $more[0] })
			{
				my ($value, $lease, $held) = @{ $reply->[$i] };

				$text .= " $more[0][$i]=" . ($value // '-') . "/$held"
				  . (defined $lease ? "/lease $lease" : '');
			}
		}
		elsif (defined $at)
		{
			$text .= ' -> '
			  . ( ref $reply eq 'ARRAY' ? "@$reply"
				: Wtcache::Resp::is_error($reply) ? $$reply
				: $reply // 'nil');
		}
		push @lines, "$what $text";
	}
	return @lines;
}

# Run schedules until one fails; the server works on some while the next are
# made up.  Returns the number of the one that failed, and its story.
sub run
{
	my ($resp, $sha, $from, $to, $theme) = @_;
	my (@under_way, @next);
	my $failed;

	while ($from <= $to || @under_way)
	{
		while ($from <= $to && @next < 20)
		{
			push @next, [ $from, schedule($resp, $sha, $from, $theme) ];
			$from++;
		}
		$resp->send if @next;
		my $replies = @under_way ? $resp->receive : [];
		foreach my $one (@under_way)
		{
			my ($number, $events) = @$one;

			next if $failed;
			my @bad = check($events, $replies) or next;
			$failed = [
				$number,
				(map { "VIOLATION: $_" } @bad),
				show($events, $replies)
			];
		}
		@under_way = @next;
		@next = ();
		if ($failed)
		{
			$resp->receive if @under_way;
			$resp->command('CONFIG', 'SET', 'maxmemory', 0);
			return @$failed;
		}
	}
	return;
}

# ---------------------------------------------------------------------------
# Mutants: what is replaced by what, in which script (apply if not told), and
# which theme shows it soon, if not all do
# ---------------------------------------------------------------------------

# What a replayed invalidation, and the draining of one, go by
my $old_one = q{if not rec or rec < '2' or string.sub(rec, 2, #pushed - tail) ..
            string.sub(rec, #pushed + 1) < commit then};
my $commit_of = q{string.sub(rec, 2, RECORD - tail) .. string.sub(rec, RECORD + 1)};
my $record_of_push = q{string.sub(rec, 1, #pushed) == pushed};
my ($above_floor) = $original{apply} =~ /( and created >=? floor)/;
my @mutants = (
	$above_floor =~ />=/ ? () : [
		'what is as old as the floor is above it',
		$above_floor,
		' and created >= floor',
		'apply', 'lose'
	],
	[ 'the floor is not looked at', $above_floor, '' ],
	[
		'the clock that was set back goes unnoticed',
		' and created <= now',
		''
	],
	[
		'records of keys are not looked at',
		'if rec and rec >= pushed and not mend then',
		'if false then'
	],
	[
		'rotation does not raise the floor',
		'floor = math.max(since, bp)',
		'floor = since'
	],
	[
		'losing the fence goes unnoticed',
		'begin, since, floor = now, now, now',
		'begin, since, floor = now, 0, 0'
	],
	[
		'losing one half goes unnoticed',
		'if not (bc and bp and sc and sp) then',
		'bc, bp, sc, sp = bc or bp, bp or bc, sc or sp, sp or sc if not bc then'
	],
	[
		'the older half is not looked at',
		'local rec = hc[i + 2] or hp[i + 2]',
		'local rec = hc[i + 2]'
	],
	[ 'the halves do not swap', 'if bp > bc then', 'if false then' ],
	[ 'rotation empties the wrong half', 'fresh = {cur}', 'fresh = {prev}' ],
	[
		'an ignored push leaves the lease',
		"  gone[#gone + 1] = LEASE .. key\n  if rec",
		"  if not rec or rec < pushed then gone[#gone + 1] = LEASE .. key end\n"
		  . "  if rec"
	],
	[
		'fills are not looked at',
		"if rec and rec >= filled and rec < '2' then",
		'if false then',
		'apply', 'fill'
	],
	[
		"a fill's bound is not kept",
		"keep, newrec = false, '2' .. string.sub(rec, 2)",
		'keep = false',
		'apply', 'fill'
	],
	[
		'deletions are not recorded',
		"    recs[#recs + 1] = key\n    recs[#recs + 1] = newrec\n",
		"    if not isdel then\n    recs[#recs + 1] = key\n"
		  . "    recs[#recs + 1] = newrec end\n"
	],
	[
		'what comes late is dropped',
		"    gone[#gone + 1] = key\n",
		"    if created >= floor then gone[#gone + 1] = key end\n"
	],
	[
		'a hash keeps its old fields',
		"    gone[#gone + 1] = key\n",
		"    if not keep then gone[#gone + 1] = key end\n"
	],
	[
		'records of tags are not looked at',
		'if f and f > commit then',
		'if false then'
	],
	[
		'tags go by messages',
		'local commit, replay, ninv = ARGV[4],',
		'local commit, replay, ninv = ARGV[1],',
		'apply', 'order'
	],
	[
		'a store yields to its own invalidation',
		'if f and f > commit then',
		'if f and f >= commit then'
	],
	[
		'a store goes by its message',
		'if f and f > commit then',
		'if f and f > ver then',
		'apply', 'order'
	],
	[
		"a tag's record is its message's version",
		'recs[#recs + 1] = commit',
		'recs[#recs + 1] = ver',
		'apply', 'order'
	],
	[
		'the older half has no tags',
		'local f = hc[p] or hp[p]',
		'local f = hc[p]',
		'apply', 'rotate'
	],
	[
		'invalidations are not recorded',
		'if not rec or rec < commit then',
		'if false then'
	],
	[
		'an older invalidation lowers the record',
		'if not rec or rec < commit then',
		'if true then',
		'apply', 'rotate'
	],
	[
		'an invalidation is the last by its message',
		'if not rec or rec < commit then',
		'if not rec or rec < ver then',
		'apply', 'order'
	],
	[
		'invalidation leaves the values',
		'list[#list + 1] = tag',
		'list = {tag}'
	],
	[
		'invalidation leaves the leases',
		'list[n + j] = LEASE .. list[j]',
		"list[n + j] = 'x'"
	],
	[
		'values are not registered',
		"try('SADD', tag, unpack(members[tag]))",
		"try('SCARD', tag)"
	],
	[
		'values are stored without their tag',
		'ok = ok and not bad[ARGV[j]]',
		'ok = ok'
	],
	[ 'an ignored push takes the tags off', 'removed[i] = nil', '--' ],
	[
		'the set moved aside is not registered',
		"try('HSET', DRAINS, aside, ARGV[5] .. tag)",
		'1'
	],
	[
		'moving aside overwrites',
		"if call('EXISTS', aside) == 1 then",
		'if false then',
		'apply', 'large'
	],
	[
		'unfinished drains are forgotten',
		"draining = try('HLEN', DRAINS)",
		"draining = 0"
	],
	[
		'a full server keeps what it has',
		"if not string.find(r.err, 'OOM', 1, true) then",
		'if true then'
	],
	[
		'a full server stores without a record',
		"      call('HSET', cur, unpack(recs))\n      oom",
		'      oom'
	],
	[
		'a record does not tell of the commit',
		'local record = pushed .. string.sub(commit, same + 1)',
		'local record = pushed',
		'apply', 'order'
	],
	[
		'a replayed invalidation spares nothing',
		$old_one,
		'if true then',
		'apply', 'replay'
	],
	[
		'a replayed invalidation does not spare its own transaction',
		'#pushed + 1) < commit then',
		'#pushed + 1) <= commit then',
		'apply', 'replay'
	],
	[
		'a replayed invalidation spares its own message and not its siblings',
		'#pushed + 1) < commit then',
		'#pushed + 1) <= commit and string.sub(rec, 1, #pushed) ~= pushed then',
		'apply', 'replay'
	],
	[
		'a replayed invalidation spares what is older',
		$old_one,
		'if not rec then',
		'apply', 'replay'
	],
	[
		'a replayed invalidation spares by its message',
		'#pushed + 1) < commit then',
		'#pushed + 1) < ver then',
		'apply', 'order'
	],
	[
		"a replayed invalidation spares by an entry's message",
		$old_one,
		"if not rec or rec < '2' .. commit then",
		'apply', 'order'
	],
	[
		'a replayed invalidation spares what has no record',
		$old_one,
		"if rec and rec < '2' .. commit then",
		'apply', 'replay'
	],
	[
		'a replayed invalidation spares what readers filled',
		"if not rec or rec < '2' or ",
		'if not rec or ',
		'apply', 'refill'
	],
	[
		'a replayed invalidation forgets what it spares',
		"call('SREM', tag, unpack(list, 1, n))",
		"call('UNLINK', tag)",
		'apply', 'replay'
	],
	[
		'every invalidation spares what is newer',
		'if replay and window > 0 then',
		'if window > 0 then',
		'apply', 'replay'
	],
	[
		'rotation loses the generation',
		q{'\0g', generation)},
		q{'\0g', '')},
		'apply', 'rotate'
	],
	[
		'the generation outlives the fence',
		q{generation = hc[gpos] or hp[gpos] or ''},
		q{generation = '7'}
	],
	[
		'a replay does not mend what was only deleted',
		'if rec and rec >= pushed and not mend then',
		'if rec and rec >= pushed then',
		'apply', 'lose'
	],
	[
		'a replay mends what is older',
		$record_of_push,
		'true',
		'apply', 'replay'
	],
	[
		'a replay mends what was committed in time only',
		$record_of_push,
		'rec == pushed',
		'apply', 'order'
	],
	[
		'a replay mends what tells of the same commit only',
		$record_of_push,
		'rec == record',
		'apply', 'order'
	],
	[
		'draining leaves the leases',
		'gone[#gone + 1] = LEASE .. key',
		'--',
		'drain'
	],
	[
		'draining ends early',
		"if call('EXISTS', aside) == 0 then",
		'if true then',
		'drain'
	],
	[
		'draining deletes nothing',
		"call('UNLINK', unpack(gone))",
		'local _',
		'drain'
	],
	[
		'draining spares nothing',
		"replay and #list > 0 and newer(tag, list) or {}",
		'{}',
		'drain', 'drain'
	],
	[
		"draining does not look at the tag's record",
		'local invalidated = c[2] or p[2]',
		"local invalidated = ''",
		'drain', 'drain'
	],
	[
		'draining does not spare its own transaction',
		">=\n      invalidated",
		'> invalidated',
		'drain', 'drain'
	],
	[
		"draining spares by an entry's message",
		$commit_of,
		'string.sub(rec, 2, RECORD)',
		'drain', 'drain'
	],
	[
		'draining spares what readers filled',
		"rec >= '2' and",
		'',
		'drain', 'refill'
	],
	[
		'draining for a live invalidation spares what is newer',
		"replay = sets[i], string.sub(sets[i + 1], 1, 1) == '1'",
		'replay = sets[i], true',
		'drain', 'drain'
	],
	[
		'what draining spares does not join its tag again',
		"type(try('SADD', tag, key)) == 'table'",
		'false',
		'drain', 'drain'
	]);

# What breaks the scripts that way
sub breaks
{
	my ($name, $from, $to, $script) = @_;

	$script ||= 'apply';
	return sub { $_[0]{$script} = replace($_[0]{$script}, $from, $to); };
}

sub report
{
	my ($failed, @story) = @_;

	diag("WTC_SEED=$seed WTC_SCHEDULE=$failed:\n" . join("\n", @story))
	  if defined $failed;
	return;
}

# ---------------------------------------------------------------------------
# Here it begins
# ---------------------------------------------------------------------------

my $redis = Wtcache::Redis->new;
my $resp = Wtcache::Resp->new($redis->socket);

note("WTC_SEED=$seed");

if (defined $ENV{WTC_SCHEDULE})
{
	my ($mutant) = grep { $_->[0] eq ($ENV{WTC_MUTANT} // '') } @mutants;
	my $sha = load_scripts($resp, $mutant && breaks(@$mutant));
	my $events = schedule($resp, $sha, $ENV{WTC_SCHEDULE},
		$mutant && $mutant->[4]);

	$resp->send;
	my $replies = $resp->receive;
	my @bad = check($events, $replies);

	diag($_) foreach show($events, $replies);
	is(join("\n", @bad), '', "schedule $ENV{WTC_SCHEDULE}");
	done_testing();
	exit;
}

my $begun = time;
my @failed = run($resp, load_scripts($resp), 1, $schedules);
is($failed[0], undef, "$schedules schedules, no violation");
report(@failed);
note(sprintf('%.1f s', time - $begun));
note("$_: $reached{$_}") foreach sort keys %reached;

# A test that does not get there shows nothing.
foreach (qw(pushes replays slow stored older degraded oom wrongtype
	invalidations large spared own early sibling aside drains reads))
{
	last if defined $failed[0];
	cmp_ok($reached{$_} // 0, '>', $schedules / ($_ eq 'sibling' ? 1000 : 100),
		"enough was seen: $_");
}

# The server compares strings by its locale.  In Danish, AA comes last.
my $locales = File::Temp->newdir;
if (system("localedef -i da_DK -f UTF-8 --no-archive $locales/da_DK.UTF-8"
		  . ' >/dev/null 2>&1') != 0)
{
	note('no data to make a locale from');
}
else
{
	local $ENV{LOCPATH} = "$locales";
	local $ENV{LC_ALL} = 'da_DK.UTF-8';
	my $danish = Wtcache::Redis->new;
	my $resp2 = Wtcache::Resp->new($danish->socket);
	my $sha = load_scripts($resp2);
	my $n = int($schedules / 6);

	is($resp2->command('EVAL', "return 'AA' > 'ZZ' and 1 or 0", 0),
		1, 'a server with a Danish collation');
	@failed = run($resp2, $sha, $schedules + 1, $schedules + $n);
	is($failed[0], undef, "... $n schedules, no violation");
	report(@failed);

	$letters = 1;
	@failed = run($resp2, $sha, 1, $bound);
	$letters = 0;
	ok(defined $failed[0], 'with letters in versions there is one')
	  and note("found by schedule $failed[0]: $failed[1]");
}

foreach my $mutant (@mutants)
{
	my $begun = time;
	@failed = run($resp, load_scripts($resp, breaks(@$mutant)), 1, $bound,
		$mutant->[4]);
	ok(defined $failed[0], "found out: $mutant->[0]")
	  and note(sprintf('by schedule %d, %.1f s: %s',
			$failed[0], time - $begun, $failed[1]));
}

done_testing();
