# Writes inputs for the fuzz targets, made from the formats as they are
# documented (src/change/batch.h and message.h, src/redis/url.h, doc), with no
# code of ours: what is named good-* must be accepted, bad-* refused.
#
#	perl seeds.pl DIRECTORY		makes DIRECTORY/TARGET/NAME

use strict;
use warnings;
no warnings 'portable';

my ($dir) = @ARGV or die "usage: seeds.pl DIRECTORY\n";

sub put
{
	my ($target, $name, $bytes) = @_;

	mkdir "$dir/$target";
	open my $file, '>:raw', "$dir/$target/$name" or die "$name: $!\n";
	print $file $bytes;
	close $file or die "$name: $!\n";
	return;
}

# The message in WAL

sub varint
{
	my ($v) = @_;
	my $bytes = '';

	for (; $v >= 0x80; $v >>= 7)
	{
		$bytes .= chr(($v & 0x7f) | 0x80);
	}
	return $bytes . chr($v);
}

sub text { return varint(length $_[0]) . $_[0]; }
sub list { return varint(scalar @_) . join '', map { text($_) } @_; }
sub named { return "\3" . join '', map { varint($_) } @_; }

my $tag = 't' . text('tag:products');
my $delete = 'd' . text('products:1') . list();
my $delete_tagged = 'd' . text('products:1') . list('tag:a', 'tag:b');
my $image =
  '{"id":1,"name":"Product 1","price":1.99,"description":"' . 'x' x 200 . '"}';
my $set = 's' . text('products:1') . varint(3_600_000) . text($image)
  . list('tag:products', 'tag:shop:7') . list('tag:shop:6');
my $set_plain = 's' . text('k') . varint(0) . text('') . list() . list();
my $hash = 'h' . text('products:2') . varint(60_000)
  . list('id', '2', 'name', "\xc3\xa9", 'note', '') . list('t') . list();
my $head = named(741, 0x1_2345_6789);
my %message = (
	'good-empty' => "\1",
	'good-tag' => "\1$tag",
	'good-delete' => "\1$delete$delete_tagged",
	'good-set' => "\1$set",
	'good-set-plain' => "\1$set_plain",
	'good-hash' => "\1$hash",
	'good-all' => "\1$tag$delete$set$hash$set_plain$delete_tagged",
	'good-many' => "\1" . join('',
		map { 's' . text("k:$_") . varint($_ * 1000) . text("v$_")
			  . list("t:$_") . list() } 1 .. 120),
	'good-many-large' => "\1" . join('',
		map { 's' . text("k$_") . varint(~0 - 100_000) . text('') . list() . list() }
		  1 .. 120),
	'good-tags' => "\1s" . text('k') . varint(1) . text('v')
	  . list(map { "t:$_" } 1 .. 256) . list(map { "r:$_" } 1 .. 200),
	'good-named' => $head . "\1$set",
	'good-carried' => named(741, 0x1_2345_9999) . "\1$tag",
	'good-spilled' => named(3, 0) . "\1$tag$delete",
	'good-limits' => named(0xffffffff, ~0) . "\1s" . text('k')
	  . varint(~0) . text('v') . list() . list(),
	'bad-nothing' => '',
	'bad-format' => "\4$set",
	'bad-former' => "\2" . varint(741) . varint(1) . varint(1) . varint(0) . "\1$set",
	'bad-format-0' => "\0",
	'bad-head' => "\3",
	'bad-head-only' => $head,
	'bad-head-twice' => $head . $head . "\1",
	'bad-xid-special' => named(2, 1) . "\1$set",
	'bad-xid-large' => named(0x1_0000_02e5, 1) . "\1$set",
	'bad-kind' => "\1x" . text('k'),
	'bad-cut' => "\1" . substr($set, 0, -1),
	'bad-cut-key' => "\1s" . varint(100) . 'short',
	'bad-length' => "\1d" . varint(~0) . 'k' . list(),
	'bad-length-32' => "\1d" . varint(0x1_0000_0001) . 'k' . list(),
	'bad-count' => "\1d" . text('k') . varint(~0),
	'bad-count-1' => "\1d" . text('k') . varint(2) . text('t'),
	'bad-varint' => "\1d" . "\xff" x 11,
	'bad-tail' => "\1$set\0");

put('message', $_, $message{$_}) for keys %message;

# wtcache.url

my %url = (
	'good-host' => 'redis://localhost',
	'good-port' => 'redis://redis.example.com:6380/15',
	'good-address' => 'redis://[2001:db8::1]:6379/0',
	'good-user' => 'redis://user:p%40ss%2Fword@10.0.0.1:6379/1',
	'good-password' => 'redis://:secret@h/',
	'good-unix' => 'unix:///run/redis/redis.sock',
	'good-unix-db' => 'unix://u:pw@/tmp/s?db=3',
	'bad-empty' => '',
	'bad-scheme' => 'http://localhost',
	'bad-tls' => 'rediss://localhost',
	'bad-port' => 'redis://h:65536',
	'bad-port-0' => 'redis://h:0',
	'bad-database' => 'redis://h/x',
	'bad-bracket' => 'redis://[::1',
	'bad-percent' => 'redis://u:%4@h',
	'bad-nul' => 'redis://u:%00@h',
	'bad-long' => 'redis://' . 'h' x 256,
	'bad-unix-long' => 'unix:///' . 's' x 107);

put('url', $_, $url{$_}) for keys %url;

# Templates: flag, template, values of the columns a, b, "a b", e acute, for
# two rows by turns

sub template
{
	my ($flag, @texts) = @_;

	return chr($flag) . join "\0", @texts;
}

my @rows = ('1', '2', 'x:y', 'x', 'z', '%3A', "\xc3\xa9", '');
my %template = (
	'good-key' => template(1, 'products:{a}', @rows),
	'good-keys' => template(1, 'p:{a}:{b}', @rows),
	'good-swap' => template(1, 'p:{a}:{b}', 'a:b', 'a', 'c', 'b:c'),
	'good-percent' => template(1, '{a}-{b}/{a b}', '%', '%25', '-', '%2D', '/', '%2F'),
	'good-tag' => template(0, 'tag:{a}{b}', @rows),
	'good-braces' => template(0, '{{{a}}}:{{}}', @rows),
	'good-utf8' => template(1, "\xc3\xa9:{\xc3\xa9}", @rows),
	'good-literal' => template(0, 'all'),
	'good-nulls' => template(1, '{a}:{b}', '1', '2'),
	'bad-empty' => template(0, ''),
	'bad-open' => template(0, 'x{a'),
	'bad-close' => template(0, 'x}a'),
	'bad-nameless' => template(0, 'x{}'),
	'bad-column' => template(0, '{c}'),
	'bad-dropped' => template(0, '{gone}'),
	# '%' and '25' here, nothing and '25%' there: both would be %25%25
	'bad-percent' => template(1, '{a}%{b}', '%', '', '25', '25%', 'x', 'x', 'y', 'y'),
	'bad-adjacent' => template(1, '{a}{b}', @rows));

put('template', $_, $template{$_}) for keys %template;
