# test/order/edit.pl
#	  Edit a copy of the source for the model test.
#
#	perl edit.pl SRC [MUTANT]
#	perl edit.pl --list
#
# Limits are lowered, so that a handful of keys reaches them; a mutant leaves
# out a rule.  Each piece of text that is replaced must be there exactly once.
# Prints the files that a mutant has changed.

use strict;
use warnings;

# what is smaller here: file, text, text instead
my @limits = (
	[ 'push/versions.c', '#define WAYS			5', '#define WAYS			2' ],
	[
		'push/versions.c',
		'(uint64) wtc_version_memory * 1024 / sizeof(Bucket)',
		'(uint64) wtc_version_memory'
	],
	[ 'worker/watermark.c', '#define SAMPLES		512', '#define SAMPLES		16' ],
	[ 'push/prune.c', '#define PRUNE_EVERY		64', '#define PRUNE_EVERY		4' ],
	[ 'redis/forget.lua', 'local LIMIT = 1000 ', 'local LIMIT = 2 ' ],
	[ 'redis/drain.lua', 'budget, left = 1000, 0', 'budget, left = 1, 0' ]);

# What is left out; the first is the rule in words.
my %mutants = (
	'no-marks' => [
		'one process at a time has a key under way',
		[
			'push/versions.c',
			'else if (b->owner[i] != 0 && b->owner[i] != owner)',
			'else if (false)'
		]
	],
	'unmark-before-close' => [
		'a request in doubt closes Redis before it gives back its marks',
		[
			'push/push.c',
			'		if (turn == WTC_TURN_DOUBT)
			wtc_token_doubt(token);
		else if (turn == WTC_TURN_AGAIN)
			look_again(token);
	}
	wtc_chunk_unmark(chunk, owner);',
			'		if (turn == WTC_TURN_AGAIN)
			look_again(token);
	}
	wtc_chunk_unmark(chunk, owner);
	if (turn == WTC_TURN_DOUBT)
		wtc_token_doubt(token);'
		]
	],
	'token-not-compared' => [
		'the token is compared once more when the marks are set',
		[ 'push/push.c', 'if (wtc_token() != token)', 'if (false)' ]
	],
	'doubt-does-not-close' => [
		'a request in doubt closes Redis',
		[
			'push/push.c',
			'if (turn == WTC_TURN_DOUBT)
			wtc_token_doubt(token);', 'if (turn == WTC_TURN_DOUBT)
			;'
		]
	],
	'floor-not-raised' => [
		'what is thrown out of the version table raises the floor',
		[ 'push/versions.c', 'b->floor = Max(b->floor, b->version[i]);', '' ]
	],
	'version-not-compared' => [
		'what has been overtaken is not sent',
		[ 'push/chunk.c', 'if (sent > item->version)', 'if (false)' ]
	],
	'tag-not-looked-at' => [
		'a store under a tag that was invalidated later deletes',
		[ 'push/chunk.c', 'Max(commit, floor) <= item->commit', 'true' ]
	],
	'tag-not-looked-at-again' => [
		'tags are looked at once more behind the reply',
		[
			'push/exchange.c', 'if (wtc_chunk_recheck_tags(chunk) > 0 || ',
			'if ('
		]
	],
	'holds-forgotten' => [
		'an invalidation holds the watermark back',
		[
			'shared/slots.c',
			'else if (invalidated != InvalidXLogRecPtr)
		wtc_hold(lsn, invalidated);', ''
		],
		[
			'worker/round.c',
			'wtc_hold(r->first_message, r->last_commit);', ';'
		]
	],
	'replay-not-journaled' => [
		'what the replay stores is in the journal as well',
		[
			'push/exchange.c',
			'bool		journal = wtc_journaling();',
			'bool		journal = wtc_journaling() && !wtc_am_worker();'
		]
	],
	'journal-by-message' => [
		'the journal goes by the place of the commit',
		[
			'push/request.c', 'wtc_resp_digits(end, item->commit)',
			'wtc_resp_digits(end, item->version)'
		]
	],
	'no-sweep' => [
		'a promoted server deletes what the lost part of WAL has stored',
		[ 'worker/position.c', 'status = sweep_journal();', ';' ]
	],
	'look-before-fence' => [
		'the token is set in the step that looks how far Redis has come',
		[
			'redis/take.lua',
			"redis.call('SET', KEYS[1], ARGV[4])", ''
		],
		[
			'worker/position.c',
			'warn_of_policy(answer.text[SAYS_POLICY]);',
			'{ const char *set_[] = {WTC_KEY_TOKEN, token}; WtcAnswer a_;
	status = wtc_eval("redis.call(\'SET\', KEYS[1], ARGV[1]) return 1", 1, 2,
					  set_, &a_);
	if (status != WTC_OK) return status; }'
		]
	],
	'no-watch' => [
		'a request leaves a WATCH of the token behind it',
		[
			'push/request.c',
			'w.p = wtc_resp_begin(w.p, 2);
	w.p = PUT(w.p, "WATCH");
	w.p = PUT(w.p, WTC_KEY_TOKEN);',
			'w.p = wtc_resp_begin(w.p, 1);
	w.p = PUT(w.p, "UNWATCH");'
		]
	],
	'restart-keeps-token' => [
		'a server that starts sets another token',
		[
			'redis/take.lua',
			"redis.call('SET', KEYS[1], ARGV[4])",
			"if how ~= '1' or found ~= ARGV[4] then redis.call('SET', KEYS[1], ARGV[4]) end"
		],
		[
			'push/token.c',
			'(uint64) GetCurrentTimestamp() / 1000);', '1);'
		],
		[
			'worker/position.c',
			'if (!pg_strong_random(&number, sizeof(number)))
			number = (uint64) GetCurrentTimestamp();',
			'number++;'
		]
	],
	'in-flight-ignored' => [
		'the watermark stays before what is under way',
		[ 'worker/watermark.c', 'lsn = Min(lsn, marked);', '' ]
	],
	'no-parking' => [
		'what is not over when it is read is looked at again',
		[ 'worker/round.c', 'if (fate == WTC_FATE_OPEN && !r->parked)', 'if (false)' ]
	],
	'opened-early' => [
		'Redis stays closed until it has been swept',
		[
			'worker/position.c',
			'	parse_position(&answer, &p);
	if (!kept',
			'	parse_position(&answer, &p);
	wtc_token_open(number);
	if (!kept'
		]
	],
	'round-not-closed' => [
		'in doubt, the worker closes Redis as any backend does',
		[
			'push/push.c',
			'if (turn == WTC_TURN_DOUBT)',
			'if (turn == WTC_TURN_DOUBT && !wtc_am_worker())'
		]
	],
	'put-back-unnoticed' => [
		'an EXEC refused under the token that is there closes Redis',
		[
			'push/push.c',
			'if (wtc_token_number(wtc_link.watched) != token)
		return;', 'return;'
		]
	],
	'put-back-forgotten' => [
		'a connection whose EXEC was refused has watched nothing',
		[
			'read/ask.c', 'if (answer->refused)
		wtc_link.watched[0] =', 'if (false)
		wtc_link.watched[0] ='
		],
	],
	'dead-carried' => [
		'what is over is not carried past a cold start',
		[
			'worker/replay.c',
			'invalidated = wtc_parked_examine(&missed);',
			'(void) missed; invalidated = false;'
		]
	],
	'dead-invalidation' => [
		'an invalidation that a cold start kills holds for all tags',
		[
			'worker/replay.c',
			'wtc_versions_invalidate_all(GetXLogInsertRecPtr());', ';'
		]
	],
	'prepared-passed-over' => [
		'the first meeting looks for what was prepared earlier',
		[ 'worker/position.c', 'wtc_replay_rescue(start);', '' ]
	],
	'swept-again' => [
		'an entry of the journal is swept once',
		[ 'redis/sweep.lua', "redis.call('LSET', KEYS[1], i, '0 0 ')", '' ]
	],
	'no-floor' => [
		'below the floor a key is deleted',
		[
			'push/chunk.c',
			'floor > Max(item->version, item->known.key);',
			'false;'
		]
	],
	'no-tag-floor' => [
		'below the floor a store under a tag is deleted',
		[ 'push/chunk.c', 'else if (floor > item->known.tags)', 'else if (false)' ]
	],
	'fill-not-journaled' => [
		'a promotion sweeps what readers have filled',
		[
			'redis/fill.lua',
			"if try('HEXISTS', 'wtcache:position', 'journal') == 1 and type",
			'if false and type'
		]
	],
	'lease-not-voided' => [
		'a push voids the leases of its keys',
		[ 'push/request.c', 'return w->leases && ', 'return false && ' ]
	],
	'leases-too-early' => [
		'there are no leases before Redis is open',
		[ 'redis/take.lua', ", 'closed', 1)", ')' ]
	],
	'mark-not-asked' => [
		'what may be older than what was filled is not stored',
		[
			'redis/store.lua',
			"if type(seen) == 'string' and not less(seen, ARGV[1]) then",
			'if false then'
		]
	],
	'tag-fence-not-asked' => [
		'nothing is filled under a tag that was invalidated since the lease',
		[ 'redis/fill.lua', 'if at and tonumber(at) > tonumber(tick) then', 'if false then' ]
	],
	'token-not-in-lease' => [
		'nothing is filled by a lease of an earlier token',
		[ 'redis/fill.lua', "token ~= try('GET', 'wtcache:token') or", '' ],
		[ 'redis/fill.lua', "try('HGET', LEASES, 'version') ~= VERSION", 'false' ]
	],
	'open-taken-for-known' => [
		'what is parked may be pushed behind the end that has been read',
		[
			'worker/round.c',
			'Min(r->upto, wtc_parked_open_version() - 1);', 'r->upto;'
		],
		[
			'worker/round.c', 'r->about->last_try || wtc_open_concerns(op) ||',
			'r->about->last_try ||'
		]
	],
	'tags-taken-for-known' => [
		'a round may begin behind an invalidation that matters',
		[ 'worker/round.c', 'message >= r->from ? r->known', 'true ? r->known' ]
	],
	'unsure-left-out' => [
		'a round that has left something out comes again',
		[
			'worker/round.c',
			'result == WTC_REPLAY_DONE && r.unsure ? WTC_REPLAY_UNSURE : result',
			'result'
		]
	]);

sub edit
{
	my ($src, $file, $from, $to) = @_;
	my $path = "$src/$file";

	open(my $in, '<', $path) or die "$path: $!\n";
	my $text = do { local $/; <$in> };
	close($in);
	my $n = () = $text =~ /\Q$from\E/g;
	die "$file: found $n times: $from\n" if $n != 1;
	$text =~ s/\Q$from\E/$to/;
	open(my $out, '>', $path) or die "$path: $!\n";
	print $out $text;
	close($out);
	return;
}

my ($src, $mutant) = @ARGV;
if ($src eq '--list')
{
	print "$_\t$mutants{$_}[0]\n" foreach sort keys %mutants;
	exit;
}
edit($src, @$_) foreach @limits;
exit if !defined $mutant;
die "no such mutant: $mutant\n" if !$mutants{$mutant};
my (undef, @edits) = @{ $mutants{$mutant} };
foreach (@edits)
{
	edit($src, @$_);
	print "$_->[0]\n";
}
