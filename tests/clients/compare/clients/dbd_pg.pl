# Perl's DBI with DBD::Pg: table_info and column_info, values, placeholders, errors, a transaction.
use strict;
use warnings;
use utf8;
use DBI;
use Digest::SHA;
binmode STDOUT, ':encoding(UTF-8)';

my $db = DBI->connect("dbi:Pg:", '', '', { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_enable_utf8 => 1 });

sub plain {
    my ($value) = @_;
    return 'undef' unless defined $value;
    return '[' . join(', ', map { plain($_) } @$value) . ']' if ref $value;
    $value =~ s/\n/\\n/g;
    $value =~ s/([\x00-\x08\x0b-\x1f])/sprintf('\\x%02x', ord $1)/ge;
    return $value;
}
sub say_it { my ($key, $value) = @_; print "$key\t", plain($value), "\n"; }
sub attempt {
    my ($key, $run) = @_;
    my $value = eval { $run->() };
    say_it($key, $@ ? 'error ' . ($db->state || $@) : $value);
}
sub lines {
    open my $file, '<:encoding(UTF-8)', "$ENV{LIMNOS_CLIENTS_HERE}/$_[0].tsv" or die;
    return map { chomp; /^#/ || !length ? () : [split /\t/, $_, 2] } <$file>;
}

for my $line (lines('values')) {
    my ($name, $sql) = @$line;
    attempt("value.$name", sub {
        my $query = $db->prepare($sql);
        $query->execute;
        say_it("type.$name", [$query->{NAME}[0], $query->{pg_type}[0], $query->{PRECISION}[0], $query->{SCALE}[0]]);
        return $query->fetchrow_arrayref->[0];
    });
}
attempt('rows', sub { $db->selectall_arrayref('SELECT * FROM every_type ORDER BY id') });
attempt('parameters', sub { $db->selectall_arrayref('SELECT ?::int + 1, ?::text, ?::date, ?::numeric(10,2), ?::int', undef, 7, "it's", '2024-02-29', '1.25', undef) });
attempt('where', sub { $db->selectall_arrayref('SELECT count(*) FROM orders WHERE o_orderdate >= ? AND o_totalprice < ?', undef, '1995-06-01', 100000) });
attempt('array', sub { $db->selectall_arrayref('SELECT n_nationkey FROM nation WHERE n_name = ANY(?) ORDER BY 1', undef, ['FRANCE', 'GERMANY']) });
attempt('prepared', sub { my $query = $db->prepare('SELECT n_name FROM nation WHERE n_nationkey = ?'); [map { $query->execute($_); $query->fetchrow_arrayref->[0] } 0 .. 8] });
my @ours = qw(every_type many nation orders region totals);
attempt('tables', sub { my %ours = map { $_ => 1 } @ours; [grep { $ours{$_->[2]} } @{ $db->table_info(undef, 'public', '%', undef)->fetchall_arrayref([0 .. 4]) }] });
attempt("columns.$_", sub { $db->column_info(undef, 'public', $_, '%')->fetchall_arrayref([2 .. 6, 8, 10 .. 13, 16, 17]) }) for @ours;
attempt('keys', sub { [$db->primary_key(undef, 'public', 'every_type')] });
attempt('ping', sub { $db->ping });
for my $line (lines('errors')) {
    my ($name, $sql) = @$line;
    eval { $db->do($sql); 1 } and next;
    say_it("error.$name", $db->state);
}
attempt('all', sub {
    my $seen = Digest::SHA->new(256);
    my $query = $db->prepare('SELECT * FROM many ORDER BY id');
    $query->execute;
    my $count = 0;
    while (my $row = $query->fetchrow_arrayref) { $seen->add(join '|', @$row); $count++; }
    return [$count, substr $seen->hexdigest, 0, 16];
});
attempt('transaction', sub {
    $db->begin_work;
    eval { $db->do('SELECT 1 / 0') };
    my $first = $db->state;
    eval { $db->do('SELECT 1') };
    my $second = $db->state;
    $db->rollback;
    return [$first, $second, $db->selectrow_array('SELECT 2')];
});
attempt('copy', sub { $db->do('COPY (SELECT id, c_text FROM every_type ORDER BY id) TO STDOUT'); my ($line, @all) = (''); push @all, $line while $db->pg_getcopydata($line) >= 0; return \@all; });
$db->disconnect;
