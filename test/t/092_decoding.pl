# What logical decoding makes of the messages: text that a client can read,
# whatever the data and the encoding of the database are.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Encode ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	init => { allows_streaming => 1 },
	conf => {
		'wal_level' => 'logical',
		'max_replication_slots' => 30,
		'autovacuum' => 'off',
		# so that what Redis has went through WAL
		'wtcache.mode' => 'async',
		# one TTL, by whose first byte the end of a key is found
		'wtcache.ttl_jitter' => 0
	});

# encoding of the database, what Perl calls it, and text that it can hold
my @databases = (
	[ 'UTF8', 'UTF-8', "d\x{e9}j\x{e0} \x{20ac} \x{3042}\x{3044} \x{1f600} e\x{301}" ],
	[ 'LATIN1', 'iso-8859-1', "d\x{e9}j\x{e0} \x{ff} \x{fc}ber" ],
	[ 'EUC_JP', 'euc-jp', "\x{3042}\x{3044}\x{65e5}\x{672c} x" ],
	[ 'SQL_ASCII', 'UTF-8', "d\x{e9}j\x{e0}" ]);

# name, plugin and its options
my @plugins = ([ 'test_decoding', 'test_decoding' ]);

# Packages of it exist for most versions of PostgreSQL.
if (-e `pg_config --pkglibdir` =~ s/\n//r . '/wal2json.so')
{
	# Later releases of the server ask which libraries are safe.
	my $setting = 'output_plugin_libraries';
	my $safe = $node->safe_psql('postgres', "SELECT current_setting('$setting', true)");

	$node->reconfigure($setting => $safe eq '' ? 'wal2json' : "$safe, wal2json")
	  if $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_settings WHERE name = '$setting'") eq '1';
	push @plugins, [ 'wal2json, format 1', 'wal2json', 'format-version' => 1 ],
	  [ 'wal2json, format 2', 'wal2json', 'format-version' => 2 ];
}
else
{
	diag('wal2json is not installed, and there may be no package of it for this'
		  . ' PostgreSQL: it is not tested');
}

# Values for the key of the same number, as images will have them
my @plain = (
	'plain',
	'~ ~~ ~0~ tilde',
	"line\nbreak\ttab \x01 \x7f",
	'{"back": "\\\\ \\" slash"}',
	'');

sub data_of
{
	my ($text) = @_;

	return (@plain, $text, "$text ~ $text", 'x' x 50 . $text . 'x' x 50, $text x 40);
}

# Our messages in what a plugin has written, as [ prefix, content ]
sub messages
{
	my ($plugin, $text) = @_;

	return map { /^message: transactional: \d prefix: (\w+), sz: \d+ content:(.*)$/ ? [ $1, $2 ] : () }
	  split /\n/, $text
	  if $plugin eq 'test_decoding';
	return map { [ $_->{prefix}, $_->{content} ] }
	  grep { ($_->{kind} // $_->{action}) =~ /^(?:message|M)$/ }
	  map { $_->{change} ? @{ $_->{change} } : $_ }
	  map { JSON::PP->new->decode($_) } grep { /\S/ } split /\n/, $text;
}

sub check
{
	my ($name, $plugin, $expected, $text) = @_;
	my @messages = grep { $_->[0] eq 'wtcache' } messages($plugin, $text);
	my @odd = grep { $_->[1] =~ /[^\x01-\x7f]/ } @messages;
	my @keys = map { $_->[1] =~ /([du]\d+:\d+)P/ ? $1 : () } @messages;

	is(scalar @odd, 0, "$name: the messages are ASCII");
	is("@keys", $expected, "$name: all of them, with their keys");
	return;
}

my $n = 0;

foreach my $database (@databases)
{
	my ($encoding, $perl, $text) = @$database;
	my $db = lc $encoding;
	my @data = data_of($text);
	my $number = ++$n;
	my $expected = join ' ', map { "d$number:$_" } 0 .. $#data;

	$node->safe_psql('postgres',
		"CREATE DATABASE $db TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'; "
		  . "ALTER DATABASE $db SET wtcache.key_prefix = '$db-'");
	$node->safe_psql($db, qq{
		CREATE EXTENSION wtcache;
		CREATE TABLE data (id int PRIMARY KEY, v text);
		SELECT wtcache.attach('data', key => 'd$number:{id}', columns => '{v}')});
	my $i = 0;
	my %slots = map { ("${db}_" . $i++ => $_) } @plugins;

	foreach my $slot (sort keys %slots)
	{
		$node->safe_psql($db,
			"SELECT pg_create_logical_replication_slot('$slot', '$slots{$slot}[1]')");
	}

	# What the server stores is in its encoding; SQL_ASCII takes what it gets.
	my $client = $encoding eq 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8';

	foreach my $id (0 .. $#data)
	{
		my $sql = "SET client_encoding = '$client'; INSERT INTO data VALUES ($id, \$d\$$data[$id]\$d\$)";

		$node->safe_psql($db, Encode::encode('UTF-8', $sql));
	}
	my $end = $node->lsn('insert');

	# Through WAL and back
	$node->poll_query_until($db, 'SELECT wtcache.wait()') or die 'not in Redis';
	foreach my $id (0 .. $#data)
	{
		my $image = Encode::decode('UTF-8', $redis->cli('get', "$db-d$number:$id"));

		is(eval { JSON::PP->new->decode($image)->{v} }, $data[$id],
			"$encoding: value $id arrives");
	}

	foreach my $slot (sort keys %slots)
	{
		my ($title, $plugin, %options) = @{ $slots{$slot} };
		my $name = "$encoding, $title";
		my $options = join '', map { ", '$_', '$options{$_}'" } keys %options;
		my ($code, $out, $err);

		($code, $out, $err) = $node->psql($db,
			"SET client_encoding = '$client'; SELECT data FROM"
			  . " pg_logical_slot_peek_changes('$slot', NULL, NULL$options)");
		is($err, '', "$name, SQL: no error");
		check("$name, SQL", $plugin, $expected,
			Encode::decode('UTF-8', $out, Encode::FB_CROAK));

		$out = $node->safe_psql($db,
			"SELECT encode(data, 'hex') FROM"
			  . " pg_logical_slot_peek_binary_changes('$slot', NULL, NULL$options)");
		check("$name, binary", $plugin, $expected,
			join "\n", map { Encode::decode($perl, pack('H*', $_), Encode::FB_CROAK) }
			  split /\n/, $out);

		$out = $node->pg_recvlogical_upto($db, $slot, $end,
			$PostgreSQL::Test::Utils::timeout_default, %options);
		check("$name, stream", $plugin, $expected,
			Encode::decode($perl, $out, Encode::FB_CROAK));
	}
	$node->safe_psql($db, "SELECT pg_drop_replication_slot('$_')") foreach sort keys %slots;
}

# Without our messages, as a consumer that does not want them asks for it
if (@plugins > 1)
{
	my $db = 'utf8';

	$node->safe_psql($db, "SELECT pg_create_logical_replication_slot('filtered', 'wal2json')");
	$node->safe_psql($db, "UPDATE data SET v = 'filtered' WHERE id = 0");
	my $out = $node->safe_psql($db, q{SELECT data FROM pg_logical_slot_get_changes(
		'filtered', NULL, NULL, 'format-version', '2', 'filter-msg-prefixes', 'wtcache')});
	like($out, qr/"action":"U"/, 'filtered: the change is there');
	unlike($out, qr/"action":"M"/, 'filtered: the message is not');
}

$node->stop;
done_testing();
