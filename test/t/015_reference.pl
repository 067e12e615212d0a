# The reference manual: what is in doc/ and the README is what the catalog, the
# source and Redis have, and nothing is missing.
#
# A failure names the place where a line is to be added or taken out.

use strict;
use warnings;
use utf8;

use Digest::SHA qw(sha1_hex);
use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Manual qw(codes);
use Wtcache::Node;
use Wtcache::Redis;
use Wtcache::Source;

my $top = "$FindBin::RealBin/../..";
my %manual = map { $_ => Wtcache::Manual->new("$top/$_") }
  qw(README.md doc/reference.md doc/messages.md doc/scripts.md
  monitoring/README.md);
my $readme = $manual{'README.md'};
my $reference = $manual{'doc/reference.md'};
my $messages = $manual{'doc/messages.md'};
my $scripts = $manual{'doc/scripts.md'};
my $source = Wtcache::Source->new($top, sqlstates());

# Both ways.  What is documented, and what is there, each with its place.
sub same
{
	my ($name, $documented, $there) = @_;
	my @wrong = (
		map({ "missing: $_\n    of $there->{$_}" }
			grep { !exists $documented->{$_} } sort keys %$there),
		map({ "superfluous: $_\n    at $documented->{$_}" }
			grep { !exists $there->{$_} } sort keys %$documented));

	utf8::encode($_) foreach @wrong;
	ok(!@wrong && %$there, $name) or diag(join("\n", @wrong));
	return;
}

sub place { return "$_[0]{name}:$_[1]{line}"; }

# SQLSTATEs by the names of their macros
sub sqlstates
{
	my ($dir) = run_command([ 'pg_config', '--includedir-server' ]);
	my %states;

	foreach (split /\n/, slurp_file("$dir/utils/errcodes.h"))
	{
		my ($name, $code) = /^#define (ERRCODE_\w+) MAKE_SQLSTATE\((.*)\)/
		  or next;
		$states{$name} = $code =~ s/[', ]//gr;
	}
	return \%states;
}

# A server whose user of Redis may do what is documented and nothing else

my ($user, @rules) = $readme->section('What is in Redis')->acl;
my $redis = Wtcache::Redis->new(user => "$user @rules");
my $node = Wtcache::Node->start_new('main',
	url => $redis->url =~ s{^unix://}{unix://$user:secret@}r,
	conf => { 'wtcache.journal' => 'on' });

sub rows
{
	my ($sql) = @_;

	return map { [ split /\|/, $_, -1 ] } split /\n/,
	  $node->safe_psql('postgres', $sql);
}

# SQLSTATE and text of a statement's error
sub error_of
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', "\\set VERBOSITY verbose\n$sql", stdout => \$out,
		stderr => \$err);
	return $err =~ /ERROR:  (\w{5}): (.*)/;
}

### Functions, views, columns, privileges

my @functions = rows(q{
	SELECT proname, prokind, pg_get_function_arguments(p.oid), proretset,
	       format_type(prorettype, NULL),
	       (SELECT string_agg(n, ',' ORDER BY i) FROM unnest(proargnames, proargmodes)
	        WITH ORDINALITY a(n, m, i) WHERE m IN ('o', 't'))
	  FROM pg_proc p WHERE pronamespace = 'wtcache'::regnamespace});

sub signature
{
	my ($name, $kind, $arguments, $set, $result) = @_;

	$arguments =~ s/(?:^|, )OUT (?:"\w+"|\w+) [^,]+//g;
	$arguments =~ s/(DEFAULT (?:'[^']*'|\w+))::[a-z ]+(?:\[\])?/$1/g;
	$arguments =~ s/'00:00:0?(\d+)'/'$1 seconds'/g;
	$arguments =~ s/'00:0?1:00'/'1 minute'/g;
	$arguments =~ s/\bIN //g;
	return "CALL $name($arguments)" if $kind eq 'p';
	return "$name($arguments) → " . ($set eq 't' ? 'setof ' : '') . $result;
}

{
	my (%documented, %there);

	foreach my $line ($reference->section('Functions')->lines)
	{
		next unless $line->{text} =~ /^`/;
		my ($signature) = $line->{text} =~ /^`([^`]+)`$/
		  or die place($reference, $line)
		  . ': a line with a signature has nothing else';
		$documented{$signature} = place($reference, $line);
	}
	$there{ signature(@$_) } =
	  'pg_proc; to be added to doc/reference.md, "Functions", on a line of its own'
	  foreach @functions;
	same('functions', \%documented, \%there);
}

my %views = map { @$_ } rows(q{
	SELECT relname, string_agg(attname, ',' ORDER BY attnum)
	  FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
	 WHERE relnamespace = 'wtcache'::regnamespace AND relkind IN ('v', 'm')
	   AND attnum > 0 GROUP BY relname});
my @tables = map { @$_ } rows(q{
	SELECT relname FROM pg_class WHERE relnamespace = 'wtcache'::regnamespace
	   AND relkind IN ('r', 'p', 'f', 'S')});

{
	my (%documented, %there);
	my %results = map { $_->[0] => $_->[5] } grep { $_->[5] ne '' } @functions;
	my $where = 'the catalog; to be in a table "column | meaning" of doc/reference.md,'
	  . ' in a section with this name';

	foreach my $section ($reference->sections)
	{
		my @rows = $section->rows('column', 'meaning') or next;

		$documented{ $section->title . ': '
			  . join(', ', map { codes($_->{cells}[0]) } @rows) } =
		  place($reference, $rows[0]);
	}
	$there{"wtcache.$_: " . $views{$_} =~ s/,/, /gr} = $where
	  foreach keys %views;
	# a function has a table of its own where it is no view as well
	foreach my $name (keys %results)
	{
		next if ($views{$name} // '') eq $results{$name};
		$there{"wtcache.$name(): " . $results{$name} =~ s/,/, /gr} = $where;
	}
	same('columns of views and functions', \%documented, \%there);
}

{
	my $text = join "\n", @{ $reference->{lines} };
	my @triggers = map { @$_ } rows('SELECT evtname FROM pg_event_trigger');

	is_deeply([ grep { $text !~ /`wtcache\.\Q$_\E`/ } @tables ],
		[], 'tables are in doc/reference.md');
	is_deeply([ grep { $text !~ /`\Q$_\E`/ } @triggers ],
		[], 'event triggers are in doc/reference.md');
}

{
	my (%documented, %there);
	my $where = 'the catalog; to be added to doc/reference.md, "Privileges"';

	foreach my $row ($reference->section('Privileges')->rows('object', 'granted to'))
	{
		my $views = 0;

		while ($row->{cells}[0] =~ /(views?\b)|`([^`]+)`/g)
		{
			$views ||= defined $1;
			$documented{ ($views ? 'view ' : '') . "$2 to "
				  . $row->{cells}[1] =~ s/`//gr } = place($reference, $row)
			  if defined $2;
		}
	}
	$there{ $_->[0] } = $where foreach rows(q{
		SELECT name || ' to ' || CASE grantee WHEN 0 THEN 'PUBLIC'
		       ELSE grantee::regrole::text END
		  FROM (SELECT proname || '()' AS name, proowner AS owner,
		               coalesce(proacl, acldefault('f', proowner)) AS acl
		          FROM pg_proc WHERE pronamespace = 'wtcache'::regnamespace
		        UNION ALL
		        SELECT CASE relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || relname,
		               relowner, coalesce(relacl, acldefault('r', relowner))
		          FROM pg_class WHERE relnamespace = 'wtcache'::regnamespace
		           AND relkind IN ('v', 'm', 'r', 'p')) o,
		       aclexplode(acl) WHERE grantee <> owner});
	same('privileges', \%documented, \%there);
}

### Settings

my @settings = rows(q{
	SELECT name, coalesce(unit, ''), vartype, min_val, max_val,
	       array_to_string(enumvals, ','), context, boot_val
	  FROM pg_settings WHERE name LIKE 'wtcache.%'});
my %hidden = map { @$_, 1 } rows(q{
	CREATE ROLE nobody;
	SET ROLE nobody;
	CREATE TEMP TABLE seen AS SELECT name FROM pg_settings;
	RESET ROLE;
	SELECT name FROM pg_settings WHERE name LIKE 'wtcache.%'
	EXCEPT SELECT name FROM seen});

# A value with a unit in milliseconds or kB
sub base
{
	my ($value) = @_;
	my %factor = (ms => 1, s => 1000, min => 60000, h => 3600000,
		kB => 1, MB => 1024, GB => 1024 * 1024);

	return $value =~ /^(\d+)(\w+)$/ && $factor{$2} ? $1 * $factor{$2} : $value;
}

sub default_of { return base((codes($_[0]))[0] // ''); }

{
	my (%documented, %there, %readme, %defaults);
	my %who = (postmaster => 'server start', sighup => 'configuration file',
		superuser => 'superusers', user => 'any role');

	foreach my $row ($reference->section('Settings')
		->rows('setting', 'default', 'unit, range', 'set by', 'meaning'))
	{
		my ($name, $default, $range, $context) = @{ $row->{cells} };

		$documented{ join ' | ', $name, default_of($default), $range, $context } =
		  place($reference, $row);
	}
	$readme{ "$_->{cells}[0] | " . default_of($_->{cells}[1]) } = place($readme, $_)
	  foreach $readme->section('Settings')->rows('setting', 'default', 'meaning');

	foreach (@settings)
	{
		my ($name, $unit, $type, $min, $max, $values, $context, $default) = @$_;
		my $range = {
			string => 'text',
			bool => 'boolean',
			enum => join(', ', map { "`$_`" } split /,/, $values),
			integer => join(', ', grep { $_ ne '' } $unit,
				$max eq '2147483647' ? "from $min" : "$min to $max")
		}->{$type};

		$context = $who{$context} // $context;
		$context .= '; visible to superusers and `pg_read_all_settings`'
		  if $hidden{$name};
		$default = base("$default$unit");
		$there{"`$name` | $default | $range | $context"} =
		  'pg_settings; to be in doc/reference.md, "Settings"';
		$defaults{"`$name` | $default"} = 'pg_settings';
	}
	same('settings', \%documented, \%there);
	# the README has some of them
	delete @defaults{ grep { !exists $readme{$_} } keys %defaults };
	same('settings in README.md', \%readme, \%defaults);
}

### Wait events

{
	my %documented = map { (codes($_->{cells}[0]))[0] => place($reference, $_) }
	  $reference->section('Wait events')->rows('wait event');
	my @there = $node->pg_version >= 17
	  ? map({ @$_ } rows(q{SELECT name FROM pg_wait_events
			WHERE type = 'Extension' AND name LIKE 'Wtc%'}))
	  : $source->c('src/shared/waits.c') =~ /wtc_wait_event\("(\w+)"\)/g;

	same('wait events', \%documented,
		{ map { $_ => 'src/shared/waits.c; to be added to doc/reference.md, "Wait events"' }
			@there });
}

### Messages

{
	my (%documented, %there, %levels, %states, %places, %texts);

	foreach my $section ($messages->sections)
	{
		foreach my $row ($section->rows('message', 'level', 'SQLSTATE'))
		{
			my @text = codes($row->{cells}[0]);

			die place($messages, $row) . ': a message is one code span'
			  unless @text == 1 && $row->{cells}[0] eq "`$text[0]`";
			$documented{ join(' | ', "| `$text[0]`",
					map { join ', ', sort split /, /, $_ }
					  @{ $row->{cells} }[ 1, 2 ]) } = place($messages, $row);
			$texts{ $text[0] } = place($messages, $row);
		}
		$texts{ (codes($_->{cells}[0]))[0] } = place($messages, $_)
		  foreach $section->rows('text');
	}
	# these stand in a list, without their SQLSTATE
	foreach my $argument ('repair', 'orphans', 'timeout')
	{
		my ($state, $text) =
		  error_of("SELECT wtcache.verify('pg_class', $argument => NULL)");

		$levels{$text}{ERROR} = $states{$text}{$state} = 1;
		$places{$text} = 'wtcache.verify()';
	}
	foreach my $m ($source->messages)
	{
		$levels{ $m->{text} }{$_} = 1 foreach @{ $m->{level} };
		$states{ $m->{text} }{ $m->{state} } = 1;
		$places{ $m->{text} } //= "$m->{file}:$m->{line}";
	}
	$there{ join(' | ', "| `$_`", join(', ', sort keys %{ $levels{$_} }),
			join(', ', sort keys %{ $states{$_} })) } =
	  "$places{$_}; to be in a table \"message | level | SQLSTATE | ...\" of doc/messages.md"
	  foreach keys %places;
	cmp_ok(scalar keys %there, '>', 100, 'messages have been found');
	same('messages: text, level, SQLSTATE', \%documented, \%there);

	# Details that come by another way, advice, words of views
	my @class_rows = $messages->section('Classes of failures')
	  ->rows('class', 'outage', 'what happens', 'what to do');
	foreach my $row (@class_rows)
	{
		$texts{$_} = place($messages, $row)
		  foreach map { codes($_) } @{ $row->{cells} }[ 2, 3 ];
	}
	my %missing = map {
		$_->{text} => "$_->{file}:$_->{line};"
		  . ' to be in a table "text | ..." of doc/messages.md'
	} $source->texts;
	# a text may have a single word, and then be no text to Wtcache::Source
	$missing{$_} //= 'the source'
	  foreach grep { $places{$_} || $source->is_literal($_) } keys %texts;
	same('messages: other texts', \%texts, \%missing);

	my ($kinds) =
	  $source->c('src/bulk/verify_run.c') =~ /\bkind_names\[.*?\{(.*?)\};/s;
	is_deeply(
		[ map { codes($_->{cells}[0]) }
			$reference->section('wtcache.verify()')->rows('`kind`') ],
		[ $kinds =~ /"([^"]+)"/g ],
		'kinds of differences: src/bulk/verify_run.c, and doc/reference.md, "wtcache.verify()"');

	# The classes, whose order is that of the columns
	my $c = $source->c('src/redis/status.c');
	my ($names) = $c =~ /\bnames\[.*?\{(.*?)\};/s;
	my ($outages) = $c =~ /wtc_status_is_outage.*?\{(.*?)return 1;/s;
	my %word = $names =~ /\[(WTC_FAIL_\w+)\] = "(\w+)"/g;
	my %outage = map { $word{$_} => 1 } $outages =~ /case (WTC_FAIL_\w+):/g;
	same('classes of failures',
		{ map { (codes($_->{cells}[0]))[0] . " $_->{cells}[1]" => place($messages, $_) }
			@class_rows },
		{ map { $_ . ($outage{$_} ? ' yes' : ' no') =>
			'src/redis/status.c; to be in doc/messages.md, "Classes of failures"' }
			values %word });
	is($node->safe_psql('postgres', 'SELECT string_agg(class, chr(32)) FROM wtcache.stat_failure'),
		join(' ', ($names =~ /= "(\w+)"/g)[ 1 .. keys(%word) ]), 'each class has its row');
}

### Scripts and commands

my %code = map { m{([^/]+)$} ? ($1 => $source->lua($1)) : () }
  glob("$top/src/redis/*.lua");

{
	my %documented =
	  map { $_->title => place($scripts, $_) } grep { $_->title =~ /\.lua$/ }
	  $scripts->sections;

	same('scripts', \%documented,
		{ map { $_ => "src/redis/$_; to be a section of doc/scripts.md" } keys %code });
}
# all of them, or an index that is computed
my %open_ended = (
	KEYS => qr/#KEYS\b|\bipairs\(KEYS\)|\bunpack\(KEYS\)/,
	ARGV => qr/\bunpack\(ARGV\b|\bARGV\[[a-z]/);
foreach my $name (sort keys %code)
{
	my (%documented, %there);
	my %head = map { $_ => "the head of src/redis/$name" } $source->lua_arguments($name);

	foreach my $row ($scripts->section($name)->rows('argument', 'meaning'))
	{
		$documented{$_} = place($scripts, $row) foreach codes($row->{cells}[0]);
	}
	foreach my $array ('KEYS', 'ARGV')
	{
		my $last = 0;

		foreach ($code{$name} =~ /\b$array\[(\d+)\]/g)
		{
			$there{"$array\[$_]"} = "src/redis/$name";
			$last = $_ if $_ > $last;
		}
		$there{"$array\[" . ($last + 1) . '..]'} = "src/redis/$name"
		  if $code{$name} =~ $open_ended{$array};
	}
	next if !%documented && !%there && !%head;
	same("$name: arguments", \%documented, \%there);
	same("$name: arguments at its head", \%head, \%there);
}

# The names of a reply's elements
sub reply_of
{
	return [ map { codes($_->{cells}[0]) }
		  $scripts->section($_[0])->rows('reply', 'meaning') ];
}

# A script that returns one thing says so in other words than { this, that }.
foreach my $name (sort keys %code)
{
	my $n = @{ reply_of($name) } || 1;

	is($n, $source->lua_reply($name) || 1, "$name: reply as at its head");
}
is_deeply(reply_of('take.lua'),
	[ map { $_ eq 'FIRST_FORMAT' ? 'first_format' : lc } grep { $_ ne 'COUNT' }
		  ($source->c('src/worker/position.c') =~ /enum\s*\{(.*?)\}/s)[0]
		  =~ /\bSAYS_(\w+)/g ],
	'take.lua: reply as in position.c');
{
	my ($take) = $source->c('src/push/exchange.c') =~ /^take_forget\(.*?\)\n\{(.*?)^\}/ms;
	my ($n) = $take =~ /\breply->elements != (\d+)/;
	my %used = map { $_ => 1 } $take =~ /\breply->element\[(\d+)\]/g;

	is(@{ reply_of('forget.lua') }, $n, 'forget.lua: reply as in exchange.c');
	is_deeply([ sort keys %used ], [ 0 .. $n - 1 ], 'forget.lua: all of it is looked at');
}
# Those that are loaded with a connection
{
	my ($load) = $source->c('src/redis/conn.c') =~ /^make_load_request\(.*?\)\n\{(.*?)^\}/ms;
	my ($intro) = $scripts->section('The Lua scripts')->lines
	  ? join(' ', map { $_->{text} } $scripts->section('The Lua scripts')->lines) : '';
	my ($loaded) = $intro =~ /((?:`\w+\.lua`(?:, | and )?)+) are loaded when/;

	is_deeply([ sort(codes($loaded)) ],
		[ sort map { "$_.lua" } $load =~ /"LOAD", wtc_(\w+)_text/g ],
		'scripts that are loaded when a connection is made');
}

{
	my (%documented, %there);
	my @files = ('src/redis/conn.c',
		map { substr $_, length("$top/") }
		  glob("$top/src/push/*.c $top/src/read/*.c $top/src/worker/*.c"));

	foreach my $row ($reference->section('Permissions')->rows('used by', 'commands'))
	{
		my ($script) = $row->{cells}[0] =~ /^`(\w+\.lua)`$/;

		$documented{ ($script || 'C') . " $_" } = place($reference, $row)
		  foreach codes($row->{cells}[1]);
	}
	foreach my $script (keys %code)
	{
		$there{"$script $_"} =
		  "src/redis/$script; to be added to doc/reference.md, \"Permissions\""
		  foreach $code{$script} =~ /\b(?:p?call|try)\(\s*'(\w+)'/g;
	}
	foreach my $file (@files)
	{
		my $c = $source->c($file);

		$c =~ s/"(SCRIPT|CLIENT)", "(\w+)"/"$1 $2"/g;
		# SCAN's words, a reply; AUTH needs no permission
		$there{"C $_"} = "$file; to be added to doc/reference.md, \"Permissions\""
		  foreach grep { !/^(?:AUTH|MATCH|COUNT|QUEUED)$/ } $c =~ /"([A-Z]{3,}(?: [A-Z]+)?)"/g;
	}
	same('commands of Redis', \%documented, \%there);
	same('commands that the README allows',
		{ map { s/^\+// ? (uc(s/\|/ /r) => 'README.md, "What is in Redis"') : () } my @copy = @rules },
		{ map { s/^\S+ //r => $documented{$_} } keys %documented });
}

### What is in Redis

my (%keys, %types);
foreach my $row ($reference->section('Keys')->rows('key', 'type', 'content'))
{
	foreach my $key (codes($row->{cells}[0]))
	{
		$keys{$key} = place($reference, $row);
		$types{$key} = $row->{cells}[1];
	}
}

my @old = ($code{'take.lua'} =~ /\bold = redis\.call\('EXISTS',(.*?)\)/s)[0] =~ /'([^']+)'/g;
{
	my (%documented, %there);

	foreach my $key (grep { /^wtcache:/ } keys %keys)
	{
		$documented{ $key =~ s/<.*//r } = $keys{$key};
	}
	foreach my $file ('keys.h', keys %code)
	{
		my $c = $file eq 'keys.h' ? $source->c("src/redis/$file") : $code{$file};

		$there{$_} = "src/redis/$file; to be added to doc/reference.md, \"Keys\""
		  foreach $c =~ /["'](wtcache:\w[\w:]*)["']/g;
	}
	# cold.lua looks at beginnings
	foreach my $name (keys %there)
	{
		delete $there{$name}
		  if !$documented{$name} && grep { index($_, $name) == 0 } keys %documented;
	}
	delete @there{@old};
	same('names of keys', \%documented, \%there);

	my %upgrading = map { $_ => place($reference, $reference->section('Upgrading')) }
	  grep { /^wtcache:/ }
	  map { codes($_->{text}) } $reference->section('Upgrading')->lines;
	same('keys of the first format', \%upgrading,
		{ map { $_ => 'src/redis/take.lua; to be in doc/reference.md, "Upgrading"' } @old });
}
my %position = map { (codes($_->{cells}[0]))[0] => place($reference, $_) }
  $reference->section('The position')->rows('field', 'content');
my @token = map { (codes($_->{cells}[0]))[0] }
  $reference->section('The token')->rows('word', 'content');
{
	my ($read) = $code{'take.lua'} =~ /'HMGET', KEYS\[2\],(.*?)\)/s;

	same('fields of the position', \%position,
		{ map { $_ => 'src/redis/take.lua; to be in doc/reference.md, "The position"' }
			$read =~ /'(\w+)'/g });
}

# All statements of the READMEs, as they are printed: those of a superuser, and
# then, as the role that is granted there, those of an application
sub run_blocks
{
	my ($role, $manual, $section) = @_;

	foreach my $block ($section->blocks('sql'))
	{
		my ($out, $err) = ('', '');

		$node->psql('postgres', $block->{text}, stdout => \$out, stderr => \$err,
			on_error_stop => 0, extra_params => [ '-U', $role ]);
		unlike($err, qr/ERROR|FATAL/, "$manual->{name}:$block->{line}: runs as $role");
	}
	return;
}
my ($superuser) = @{ (rows('SELECT current_user'))[0] };
$node->safe_psql('postgres', q{
	DROP EXTENSION wtcache CASCADE;
	CREATE ROLE shop LOGIN;
	GRANT CREATE ON SCHEMA public TO shop});
run_blocks($superuser, $readme, $readme->section('Installation'));
$node->safe_psql('postgres',
	'CREATE TABLE products (id bigint PRIMARY KEY, category text, price numeric)',
	extra_params => [ '-U', 'shop' ]);
foreach my $section ($readme->sections)
{
	my $title = $section->title;

	run_blocks($title eq 'How order is kept' ? $superuser : 'shop', $readme, $section)
	  unless $title eq 'Installation';
	# the next one creates the table
	$node->safe_psql('postgres', 'DROP TABLE products') if $title eq 'wtcache';
}
run_blocks($superuser, $manual{'monitoring/README.md'}, $_)
  foreach $manual{'monitoring/README.md'}->sections;
# the last of them has taken its tags away
$node->safe_psql('postgres', q{
	SELECT wtcache.alter('products', tags => '{"category:{category}"}');
	UPDATE products SET price = price});
is($redis->cli('get', 'products:1'),
	'{"id":1,"name":"Trail runner","category":"shoes","price":89}',
	'README.md: the row is where it says');

# All kinds of things that wtcache writes, and some that it leaves behind
$node->safe_psql('postgres', q{
	CREATE TABLE hashes (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('hashes', format => 'hash', tags => '{all}');
	INSERT INTO hashes SELECT i, 'x' FROM generate_series(1, 1200) i;
	SELECT wtcache.invalidate_tags('nothing');
	SELECT wtcache.set('alone', '1');
	SELECT wtcache.get('hashes:1');
	SELECT wtcache.wait();
	CALL wtcache.warm('hashes', batch_size => 500)});
$redis->cli('set', 'hashes:0', 'x', 'ex', 1000);
is($node->safe_psql('postgres',
		q{SELECT string_agg(kind, ',') FROM wtcache.verify('hashes', repair => true)}),
	'orphan', 'verify with repair');
$redis->wait_for_beat($node);
is($redis->cli('acl', 'log'), '', 'the documented permissions are enough');
is($node->stat('cold_starts'), 0, 'nothing was emptied');

# What stands in Redis, and scripts called as documented; their replies are as long
# as documented.
{
	my $call = sub {
		my ($name, @args) = @_;

		return [ split /\n/, $redis->cli('eval', $code{$name}, @args), -1 ];
	};
	my $token = $redis->cli('get', 'wtcache:token');
	my %word;
	@word{@token} = split / /, $token;

	is_deeply([ @word{qw(system timeline)} ],
		[ rows('SELECT system_identifier, timeline_id FROM pg_control_system(), pg_control_checkpoint()') ]->[0],
		'the token begins with system and timeline');
	is(scalar split(/ /, $token), scalar @token, 'the token has the words that are documented');
	is($redis->cli('pttl', $_), -1, "$_ has no time to live")
	  foreach qw(wtcache:token wtcache:position wtcache:journal wtcache:patterns wtcache:values);
	is_deeply([ sort split /\n/, $redis->cli('hkeys', 'wtcache:position') ],
		[ sort keys %position ], 'the position has the fields that are documented');
	is($redis->cli('hget', 'wtcache:position', 'system'), $word{system}, '... of this system');
	like($redis->cli('lindex', 'wtcache:journal', -1), qr/^1 \d+ \w+:\d+$/,
		'entry of the journal: timeline, position, key');

	# what EVALSHA finds are the texts that are in src/
	is($redis->cli('script', 'exists', map { sha1_hex($code{$_}) } qw(drain.lua forget.lua prune.lua)),
		"1\n1\n1", 'scripts are loaded');
	my $reply = [ split /\n/, $redis->cli('evalsha', sha1_hex($code{'forget.lua'}), 1,
			'none', $token, 'unique', 'tag:all', 'tag:none', 'hashes:1'), -1 ];
	is(@$reply, @{ reply_of('forget.lua') }, 'forget.lua: called as documented');
	is_deeply($reply, [ 1, 1, 1 ], 'forget.lua: one is no set, one has to be emptied');
	is_deeply($call->('forget.lua', 1, 'hashes:1', 'another', 'unique'), [ 0, 0, 0 ],
		'forget.lua: not under another token');
	is($redis->cli('exists', 'hashes:1'), 1, '... does nothing');

	my %all = map { /^(\w+) (.*)/ ? ($2 => $1) : () } split /\n/,
	  $redis->cli('eval', q{
		local r = redis.call('KEYS', '*')
		for i = 1, #r do
		  r[i] = redis.call('TYPE', r[i]).ok .. ' ' .. r[i]
		end
		return r}, 0);
	my @strange;
	foreach my $key (sort keys %all)
	{
		my $type = $all{$key};
		my @found = grep {
			my $pattern = s/<tag prefix>/tag:/r;

			$pattern = join '.+', map { quotemeta } split /<[^>]+>/, $pattern, -1;
			$key =~ /^$pattern$/ && $types{$_} =~ /\b$type\b/
			  && ($key !~ /^wtcache:/ || /^wtcache:/);
		} keys %keys;
		push @strange, "$key ($type)" unless @found;
	}
	is_deeply(\@strange, [],
		'what Redis holds is in doc/reference.md, "Keys"');
	foreach my $key (qw(hashes:1 tag:category:shoes wtcache:token wtcache:position
		wtcache:journal wtcache:patterns wtcache:values wtcache:drains wtcache:drain:unique:tag:all))
	{
		ok($all{$key}, "$key was among it");
	}

	is(@{ $call->('drain.lua', 0) }, 1, 'drain.lua: called as documented');
	is_deeply($call->('prune.lua', 1, 'tag:products', 10), [0],
		'prune.lua: called as documented');
	$redis->cli('sadd', 'tag:products', 'dead');
	is_deeply($call->('prune.lua', 1, 'tag:products', 10), [1],
		'prune.lua: takes out what is dead');
	is_deeply($call->('sweep.lua', 1, 'wtcache:journal', 0, 'another', 2, 0), [ -1, 0 ],
		'sweep.lua: not under another token');
	is(@{ $call->('sweep.lua', 1, 'wtcache:journal', 0, $token, 2, 0) },
		@{ reply_of('sweep.lua') }, 'sweep.lua: called as documented');
	is_deeply($call->('cold.lua', 0, 0, 'another', '*'), [ -1, 0 ],
		'cold.lua: not under another token');
	is(@{ $call->('cold.lua', 0, 0, $token, 'nothing') },
		@{ reply_of('cold.lua') }, 'cold.lua: called as documented');
	# some of those that are listed have been deleted since
	my $values = $redis->cli('scard', 'wtcache:values');
	my ($more, $deleted) = @{ $call->('cold.lua', 0, 0, $token, '') };
	ok($more == 1 && $deleted > 0 && $deleted <= $values,
		'cold.lua: what wtcache.set() has stored');
	is_deeply($call->('cold.lua', 0, 1, $token, ''), [ 0, 0 ], 'cold.lua: nothing more');
	is($redis->cli('exists', 'alone', 'wtcache:values'), 0, 'cold.lua: it is gone');
	is_deeply($call->('get.lua', 1, 'none'), ['off'], 'get.lua: called as documented');
	is(@{ $call->('fill.lua', 1, 'none', 'lease', '0/0', 1000, 1, 1, 'tag:a', 'n*', 'x') },
		@{ reply_of('fill.lua') }, 'fill.lua: called as documented');
	is_deeply($call->('store.lua', 1, 'stored', 1, 1000, 'x'), [1],
		'store.lua: called as documented');
	is_deeply($call->('expel.lua', 2, 'none', 'either', 1, 2), [ 0, 0 ],
		'expel.lua: called as documented');

	my $readers = join '-', @word{qw(system timeline)}, $node->safe_psql('postgres',
		q{SELECT split_part(wtcache.token(), '-', 3)});
	my @reached = ('reached.lua', 1, 'wtcache:position');
	my ($there) = $redis->poll_for([ 'eval_ro', $code{'reached.lua'}, @reached[ 1, 2 ], $readers ], 1);
	is($there, 1, 'reached.lua: called as documented');
	is_deeply($call->(@reached, "${readers}0"), [0], 'reached.lua: not yet');
	is($call->(@reached, $token)->[0], 'ERR malformed token',
		'reached.lua: not the value of wtcache:token');

	$redis->cli('set', 'wtcache:values', 'no set');

	my $entries = $redis->cli('llen', 'wtcache:journal');
	my @trim = (2, 'wtcache:journal', 'wtcache:position');
	is_deeply($call->('trim.lua', @trim, 'another', '9' x 19, 0), [0],
		'trim.lua: not under another token');
	is($redis->cli('llen', 'wtcache:journal'), $entries, '... takes nothing out');
	is_deeply($call->('trim.lua', @trim, $token, 0, $entries - 1), [1],
		'trim.lua: called as documented');

	my @take = (5, qw(wtcache:token wtcache:position wtcache:journal wtcache:patterns wtcache:values),
		@word{@token[ 0 .. 2 ]});
	$redis->cli('mset', map { $_, 'x' } @old);
	$reply = $call->('take.lua', @take, $token, 0, 0);
	is(@$reply, @{ reply_of('take.lua') }, 'take.lua: called as documented');
	is_deeply([ @$reply[ 0 .. 5 ] ],
		[ 'taken', $token, scalar @old, 1, @word{qw(system timeline)} ],
		'take.lua: what it has found');
	is($redis->cli('exists', 'wtcache:values'), 0, 'take.lua: deletes what is no set');
	is($redis->cli('scard', 'wtcache:patterns') > 1, 1, 'take.lua: keeps the patterns');
	my $promoted = join ' ', $word{system}, $word{timeline} + 1, @word{@token[ 2, 3 ]};
	my $later = join ' ', 1, 1, $word{ $token[2] } + 1, 1;
	foreach ([ $promoted, 0, 'superseded' ], [ $promoted, 1, 'superseded' ], [ $promoted, 2, 'taken' ],
		[ $later, 0, 'stranger' ], [ $later, 1, 'taken' ], [ $later, 2, 'taken' ])
	{
		my ($found, $how, $verdict) = @$_;

		$redis->cli('set', 'wtcache:token', $found);
		$reply = $call->('take.lua', @take, $token, $how, 3000);
		is_deeply([ @$reply[ 0, 1 ], scalar @$reply ],
			[ $verdict, $found, $verdict eq 'taken' ? scalar @{ reply_of('take.lua') } : 2 ],
			"take.lua: $verdict, $how");
	}
}

### Names that are mentioned anywhere, and links

{
	my %function = map { $_->[0] => 1 } @functions;
	my %name = (%function, %views, map({ $_ => 1 } @tables),
		key => 1,				# a file
		map({ $_->[0] =~ s/^wtcache\.//r => 1 } @settings));
	my (@strange, @broken);

	foreach my $manual (map { $manual{$_} } sort keys %manual)
	{
		my $n = 0;

		foreach my $line (@{ $manual->{lines} })
		{
			$n++;
			while ($line =~ m{(?<!/)\bwtcache\.([a-z]\w*)(\(?)}g)
			{
				next if $2 ? $function{$1} : $name{$1};
				push @strange, $manual->name . ":$n: wtcache.$1$2";
			}
		}
		foreach my $link ($manual->links)
		{
			my ($target, $line) = @$link;
			my ($file, $anchor) = split /#/, $target, 2;
			my $path = $manual->{path} =~ s{[^/]*$}{}r;

			next if $target =~ /^\w+:/;
			$path = $file eq '' ? $manual->{path} : "$path$file";
			push @broken, $manual->name . ":$line: $target"
			  if !-e $path
			  || (defined $anchor
				&& !grep({ $_ eq $anchor } Wtcache::Manual->new($path)->anchors));
		}
	}
	is_deeply(\@strange, [], 'names that are mentioned exist');
	is_deeply(\@broken, [], 'links lead somewhere');
}

# wtcache.attach() in the README
{
	my ($attach) = grep { $_->[0] eq 'attach' } @functions;
	my @arguments = map { /^(\w+)/ } split /, /, $attach->[2];
	my $section = $readme->section('Attaching tables');

	ok(grep({ $_->{text} eq '`wtcache.attach(' . join(', ', @arguments) . ')`' }
			$section->lines),
		'README.md: the arguments of wtcache.attach()');
	is_deeply(
		[ map { codes($_->{cells}[0]) } $section->rows('argument') ],
		[ @arguments[ 1 .. $#arguments ] ],
		'README.md: each of them explained');
}

done_testing;
