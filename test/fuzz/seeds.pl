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

# five bits a digit, low ones first
sub number
{
	my ($v) = @_;
	my $digits = '';

	for (; $v >= 0x20; $v >>= 5)
	{
		$digits .= chr(0x50 + ($v & 0x1f));
	}
	return $digits . chr(0x30 + $v);
}

sub text { return number(length $_[0]) . $_[0]; }
sub list { return number(scalar @_) . join '', map { text($_) } @_; }

# six bits a character, high ones first
sub escaped
{
	my ($bytes) = @_;

	return $bytes =~ s{~|([\0\x80-\xff])}{defined $1 ? '~' . bits($1) . '~' : '~~'}egr;
}

sub bits
{
	my $bits = unpack('B*', $_[0]);

	$bits .= '0' while length($bits) % 6;
	return join '', map { chr(0x30 + oct("0b$_")) } $bits =~ /.{6}/g;
}

my $code = 'x' x 22;

sub own { return $code . 'o' . escaped($_[0]); }
sub named
{
	my ($xid, $lsn, $batch) = @_;

	return $code . 'n' . number($xid) . number($lsn) . escaped($batch);
}

# what the pattern shares, and what not
sub pattern { return number($_[0]) . text($_[1]); }

my $none = pattern(0, '') x 2;
my $tag = 't' . text('tag:products');
my $delete = 'd' . text('products:1') . list();
my $delete_tagged = 'd' . text('products:1') . list('tag:a', 'tag:b');
my $image =
  '{"id":1,"name":"Product 1","price":1.99,"description":"' . 'x' x 200 . '"}';
my $set = 's' . text('products:1') . number(3_600_000) . text($image)
  . list('tag:products', 'tag:shop:7') . list('tag:shop:6')
  . pattern(9, '*') . pattern(4, '*');
my $set_plain = 's' . text('k') . number(0) . text('') . list() . list() . $none;
my $versioned = 'v' . text('products:1') . number(1) . text('{"version":null,"data":{}}')
  . list() . list() . $none;
my $hash = 'h' . text('products:2') . number(60_000)
  . list('id', '2', 'name', "\xc3\xa9", 'note', '') . list('t') . list() . pattern(10, '') . pattern(1, '\\**');
my $utf8 = 's' . text("\xe6\x97\xa5\xe6\x9c\xac:~1") . number(1) . text("~\xc3\xa9 \0 ~~")
  . list("t~\xff") . list() . pattern(3, "\\[*") . pattern(0, '*');
my %message = (
	'good-empty' => own('2'),
	'good-tag' => own("2$tag"),
	'good-delete' => own("2$delete$delete_tagged"),
	'good-set' => own("2$set"),
	'good-set-plain' => own("2$set_plain"),
	'good-versioned' => own("2$versioned"),
	'good-hash' => own("2$hash"),
	'good-utf8' => own("2$utf8"),
	'good-utf8-once' => $code . 'o~' . bits("2$utf8") . '~',
	'good-all' => own("2$tag$delete$set$hash$set_plain$delete_tagged"),
	'good-many' => own('2' . join '',
		map { 's' . text("k:$_") . number($_ * 1000) . text("v$_")
			  . list("t:$_") . list() . pattern(2, '*') . pattern(2, '*') } 1 .. 120),
	'good-many-large' => own('2' . join '',
		map { 's' . text("k$_") . number(~0 - 100_000) . text('') . list() . list() . $none }
		  1 .. 120),
	'good-tags' => own('2s' . text('k') . number(1) . text('v')
		  . list(map { "t:$_" } 1 .. 256) . list(map { "r:$_" } 1 .. 200) . $none),
	'good-named' => named(741, 0x1_2345_6789, "2$set"),
	'good-carried' => named(741, 0x1_2345_9999, "2$tag"),
	'good-spilled' => named(3, 1, "2$tag$delete"),
	'good-limits' => named(0xffffffff, ~0, '2s' . text('k') . number(~0) . text('v')
		  . list() . list() . $none),
	'bad-nothing' => '',
	'bad-code' => 'x' x 21,
	'bad-code-only' => $code,
	'bad-batch' => own(''),
	'bad-format' => own("1$set"),
	'bad-form' => $code . "2$set",
	'bad-form-x' => $code . "x2$set",
	'bad-head' => $code . 'n',
	'bad-head-only' => named(741, 1, ''),
	'bad-head-twice' => named(741, 1, named(741, 1, '2')),
	'bad-xid-special' => named(2, 1, "2$set"),
	'bad-xid-large' => named(0x1_0000_02e5, 1, "2$set"),
	'bad-version' => named(741, 0, "2$set"),
	'bad-escape' => $code . 'o2~',
	'bad-escape-open' => $code . 'o2~00',
	'bad-escape-digit' => $code . 'o2~0p~',
	'bad-escape-low' => $code . 'o2~0/~',
	'bad-escape-short' => $code . 'o2~0~',
	'bad-escape-tail' => own('2d' . text('k') . list()) . '~',
	'bad-versioned' => own('2v' . text('k') . number(1) . text('{"version":1}') . list() . list() . $none),
	'bad-kind' => own('2x' . text('k')),
	'bad-cut' => own('2' . substr($set, 0, -1)),
	'bad-cut-key' => own('2s' . number(100) . 'short'),
	'bad-shared' => own('2s' . text('k') . number(1) . text('v') . list() . list()
		  . pattern(2, '*') . pattern(0, '')),
	'bad-shared-tag' => own('2s' . text('k') . number(1) . text('v') . list('t') . list()
		  . pattern(1, '*') . pattern(2, '')),
	'bad-shared-none' => own('2s' . text('k') . number(1) . text('v') . list() . list()
		  . pattern(1, '*') . pattern(1, '')),
	'bad-patterns' => own('2s' . text('k') . number(1) . text('v') . list() . list()),
	'bad-length' => own('2d' . number(~0) . 'k' . list()),
	'bad-length-32' => own('2d' . number(0x1_0000_0001) . 'k' . list()),
	'bad-count' => own('2d' . text('k') . number(~0)),
	'bad-count-1' => own('2d' . text('k') . number(2) . text('t')),
	'bad-number' => own('2d' . 'o' x 14),
	'bad-digit' => own("2d/k0"),
	'bad-tail' => own("2$set\0"));

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
